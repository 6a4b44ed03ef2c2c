"""Estimate statistics over runs, with intervals: of an arm, and of a cure against no cure.

A run is the unit, because the spikes of one run depend on each other, and those of other seeds do
not. Intervals are at 95 %. Random resampling has a fixed seed, so that the same runs give the same
numbers. NaN is refused.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
RESAMPLES = 9_999
"""Resamples of a bootstrap."""

MOST = 1 << 22
"""Most runs in memory at once, summed over resamples."""


@dataclass(frozen=True)
class Estimate:
    """An estimate with its interval.

    Args:
        value: the estimate; NaN if it is unknown.
        low: the lower end of the interval; NaN without one.
        high: the upper end.
    """

    value: float
    low: float
    high: float


UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def rate(events: ArrayLike, exposure: ArrayLike) -> Estimate:
    """Return the events per unit of exposure, pooled over all runs.

    The interval is a bootstrap over runs. With few events this is too narrow, and without events it
    has no width. So it is widened to include the exact interval of a Poisson count (Garwood 1936),
    whose upper end is 3.7 events if there were none.

    Args:
        events: number of events of each run, ``(R,)``.
        exposure: steps of each run, ``(R,)``.
    """
    from scipy.stats import chi2

    happened, seen = np.asarray(events, float), np.asarray(exposure, float)

    def of(rows: Any) -> Any:
        return happened[rows].sum(-1) / seen[rows].sum(-1)

    total = happened.sum()
    ends = chi2.ppf(TAIL, 2 * total) / 2 if total else 0.0, chi2.isf(TAIL, 2 * total + 2) / 2
    return widened(bootstrapped(of, len(happened)), *(end / seen.sum() for end in ends))


def widened(found: Estimate, low: float, high: float) -> Estimate:
    """Widen an interval to include another; the interval of a single run stays NaN."""
    if math.isnan(found.low):
        return found
    return Estimate(found.value, min(found.low, float(low)), max(found.high, float(high)))


def quartiles(values: ArrayLike, axis: int = -1) -> Floats:
    """Return the first quartile, the median and the third quartile.

    The median of an even number of values is the mean of the middle two. The other quartiles are
    themselves values: the smallest that at least a quarter, or three quarters, do not exceed.

    Args:
        values: any shape; NaN is a missing value, infinite values are allowed.
        axis: the axis to reduce.

    Returns:
        The three quartiles along a new first axis; NaN where all values are missing.
    """
    ascending = np.moveaxis(np.sort(np.asarray(values, float), axis=axis), axis, 0)  # NaN last
    count = (~np.isnan(ascending)).sum(0)

    def at(place: Any) -> Floats:
        within = np.clip(place, 0, np.maximum(count - 1, 0))[None]
        return np.asarray(np.take_along_axis(ascending, within, 0)[0])

    low, high = at((count - 1) // 2), at(count // 2)
    with np.errstate(over="ignore", invalid="ignore"):
        middle = np.where(np.isfinite(low + high), (low + high) / 2, low / 2 + high / 2)
    return np.stack([at(-(-count // 4) - 1), middle, at(-(-3 * count // 4) - 1)])


def spread(
    values: Sequence[float],
    ends: bool = True,
    write: Callable[[float], str] | None = None,
) -> str:
    """Format the median, with the quartiles if they differ.

    Args:
        values: numbers, which may be infinite.
        ends: whether to show the quartiles.
        write: the function that formats a number; by default three digits, and ∞.
    """
    if not values:
        return "–"
    low, middle, high = map(float, quartiles(values))
    write = write or _three_digits
    text = write(middle)
    return f"{text} [{write(low)}, {write(high)}]" if ends and low < high else text


def _three_digits(value: float) -> str:
    return f"{value:.3g}".replace("inf", "∞")


def median(values: ArrayLike) -> Estimate:
    """Return the median, with an interval between two of the values (order statistics).

    Args:
        values: one per run, ``(R,)``; infinite for diverged runs.
    """
    from scipy.stats import quantile_test

    known = np.sort(known_values(values))
    if not len(known):
        return UNKNOWN
    middle = quartiles(known)[1]
    # By ranks: of values, ∞ - ∞ would be NaN.
    ends = quantile_test(np.arange(len(known)), p=0.5).confidence_interval(CONFIDENCE)
    low, high = (float(known[int(end)]) if np.isfinite(end) else math.nan for end in ends)
    return Estimate(float(middle), low, high)


def interquartile_mean(values: ArrayLike) -> Estimate:
    """Return the mean of the middle half, with a bootstrap interval (Agarwal et al. 2021).

    Args:
        values: one per run, ``(R,)``; infinite for diverged runs.
    """
    from scipy.stats import trim_mean

    known = known_values(values)
    return bootstrapped(lambda rows: trim_mean(known[rows], 0.25, axis=-1), len(known))


def known_values(values: ArrayLike) -> Floats:
    """Return values as numbers.

    Raises:
        ValueError: a value is NaN.
    """
    known = np.asarray(values, float)
    if np.isnan(known).any():
        raise ValueError("NaN is no value to estimate from")
    return known


def bootstrapped(statistic: Callable[[Any], Any], runs: int) -> Estimate:
    """Return a statistic of all runs, with a percentile bootstrap; no interval for a single run.

    Args:
        statistic: a function from run indices ``(..., R)`` to values ``(...)``.
        runs: number of runs, R.
    """
    if not runs:
        return UNKNOWN
    value = float(statistic(np.arange(runs)))
    if runs == 1:  # every resample is the same run
        return Estimate(value, math.nan, math.nan)
    return between(value, np.concatenate([statistic(rows) for rows in _resampled(runs)]))


def _resampled(runs: int) -> Iterator[NDArray[np.int64]]:
    """Yield the run indices of all resamples in blocks, ``(n, R)``; they don't depend on n."""
    generator, most = np.random.default_rng(0), max(1, MOST // runs)
    for first in range(0, RESAMPLES, most):
        yield generator.integers(runs, size=(min(most, RESAMPLES - first), runs))


@lru_cache(maxsize=1)
def weights(runs: int) -> Floats:
    """Return how many times each resample has each run, ``(RESAMPLES, R)``."""
    return multiplicities(np.concatenate([*_resampled(runs)]))


def multiplicities(rows: NDArray[np.int64]) -> Floats:
    """Return how often each run was drawn, ``(..., R)``, from the drawn indices ``(..., R)``."""
    drawn = rows.reshape(-1, rows.shape[-1])
    places = drawn + drawn.shape[1] * np.arange(len(drawn))[:, None]
    return np.bincount(places.ravel(), minlength=drawn.size).reshape(rows.shape).astype(float)


def between(value: float, resampled: Any) -> Estimate:
    """Return an estimate with the percentile interval of its resamples."""
    # No interpolation, since some values may be infinite.
    low, high = np.quantile(resampled, [TAIL, 1 - TAIL], method="inverted_cdf")
    return Estimate(value, float(low), float(high))


def mean(values: ArrayLike) -> Estimate:
    """Return the mean of one value per run, ``(R,)``, with a bootstrap interval."""
    known = known_values(values)
    return bootstrapped(lambda rows: known[rows].mean(-1), len(known))
