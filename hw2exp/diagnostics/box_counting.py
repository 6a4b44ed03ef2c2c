"""Measure how rough the border between two outcomes is, by counting boxes.

The number of boxes of side s that a border needs grows as s⁻ᴰ; D is its box-counting dimension: 1
for a smooth line, up to 2 for one that fills the plane. Sohl-Dickstein 2024 (arXiv:2402.06184)
found 1.17 to 1.98 for the border of the learning rates at which small networks diverge.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw2exp.diagnostics.statistics import TAIL, UNKNOWN, Estimate, Floats

FINEST = 4
"""Smallest box, in steps of the grid: at smaller sizes, the grid hides a fractal border."""

COARSEST = 8
"""The map's shorter side is at least this many largest boxes; larger boxes would hold it all."""

LEAST_SCALES = 3
"""Fewest scales with an interval."""

STEEPEST = 2.0
"""The dimension of the plane, which no border in it exceeds."""


@dataclass(frozen=True)
class Roughness:
    """The roughness of a border.

    Args:
        dimension: the box-counting dimension, with Student's interval over three scales or more.
        slopes: the dimension at each scale, by the box's side; a scale is from a side to its
            double.
        reason: why there is no dimension; empty if there is one.
    """

    dimension: Estimate
    slopes: dict[int, float]
    reason: str = ""


def roughness(maps: ArrayLike) -> Roughness:
    """Return the box-counting dimension of the border between two outcomes.

    The values are points of a grid. A box of side s has (s + 1)² of them, including those on its
    edges, so that neighboring boxes share their edge and no border lies between boxes. A box counts
    if it holds both outcomes. Instead of one tiling, all boxes are used whose centers lie in the
    map: this averages over all offsets of the tiling. Large boxes may reach beyond the map, so that
    they find a border beside its edge as small ones do. The shares of boxes that count, at a side
    and at its double, give a dimension; the mean over sides is the result. Its interval shows
    whether the scales agree, which a straight line through neighboring, dependent counts would not.
    Two scales give no interval.

    Args:
        maps: 0 or 1, NaN for unknown, ``(h, w)``, or the maps of several seeds, ``(S, h, w)``,
            whose shares are averaged.
    """
    values = np.asarray(maps, float)
    values = values.reshape(-1, *values.shape[-2:])
    side = min(values.shape[1:])
    sizes = [FINEST << k for k in range(side.bit_length()) if (FINEST << k) * COARSEST <= side]
    if len(sizes) < 3:
        return _none(f"a map needs {4 * FINEST * COARSEST} values a side")
    squares = border(values)
    if not squares.any():
        return _none("no border: all outcomes are the same")
    if squares.sum() < len(values) * side / 2:
        return _none("the border is shorter than half the map's side")
    shares = [share.mean() for share in _shares(squares, sizes)]
    found = [2 - math.log2(more / less) for less, more in pairwise(shares)]
    return Roughness(_over_scales(found), dict(zip(sizes, found, strict=False)))


def border(values: Floats) -> NDArray[np.bool_]:
    """Return whether each square of four neighboring values holds both outcomes.

    Args:
        values: 0 or 1, NaN for unknown, ``(..., h, w)``.

    Returns:
        ``(..., h - 1, w - 1)``.
    """
    rows = values[..., 1:, :], values[..., :-1, :]
    low, high = np.fmin(*rows), np.fmax(*rows)
    return np.asarray(np.fmax(high[..., 1:], high[..., :-1]) > np.fmin(low[..., 1:], low[..., :-1]))


def _shares(squares: NDArray[np.bool_], sizes: list[int]) -> list[Floats]:
    """Return for each size the share of boxes that hold a border square, ``(S,)``."""
    largest = sizes[-1]
    height, width = (extent + 1 for extent in squares.shape[1:])  # of the grid of centers
    margin = largest // 2
    whole = np.pad(squares, ((0, 0), (margin, margin), (margin, margin)))
    sums = np.pad(whole.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    shares = []
    for size in sizes:
        first = (largest - size) // 2  # all sizes are even: same centers
        low, high = (slice(at, at + height) for at in (first, first + size))
        left, right = (slice(at, at + width) for at in (first, first + size))
        held = sums[:, high, right] - sums[:, low, right] - sums[:, high, left] + sums[:, low, left]
        shares.append((held > 0).mean((1, 2)))
    return shares


def _over_scales(slopes: list[float]) -> Estimate:
    """Return the mean slope, with Student's interval cut to the range of dimensions, 0 to 2."""
    from scipy.stats import t

    value = float(np.mean(slopes))
    if len(slopes) < LEAST_SCALES:
        return Estimate(value, math.nan, math.nan)
    half = t.isf(TAIL, len(slopes) - 1) * np.std(slopes, ddof=1) / math.sqrt(len(slopes))
    return Estimate(value, max(0.0, value - half), min(STEEPEST, value + half))


def _none(reason: str) -> Roughness:
    return Roughness(UNKNOWN, {}, reason)
