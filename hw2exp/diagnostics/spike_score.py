"""Score the instability of a curve by its outliers, as for OLMo 2 (2025, arXiv:2501.00656).

**Definition.** The spike score is the share of values that lie seven standard deviations or more,
on either side, from the mean of the values of the `WINDOW` steps before them. The paper scores the
training loss and the gradient norm; so do we. :mod:`hw2exp.diagnostics.spikes` defines a spike in
another way, by a running median. Points that the paper leaves open are fixed here:

- A curve is known at its logged steps, every `log_every` steps. Only these values are judged, and
  the window holds the `WINDOW` / `log_every` values before each, itself excluded.
- The first values are neither judged nor counted. A value is judged if a tenth of a whole window
  and at least `LEAST` values came before it. So a run of 1,000 steps has a score, although it never
  fills a window. A run that logs fewer than `LEAST` values in a window has no score.
- The standard deviation divides by the number of values. Where all values before are equal, a
  value that differs from them is an outlier.
- The first value that is not finite ends the curve: that is divergence, not a spike.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hw2exp.diagnostics.statistics import Floats

WINDOW = 1_000
"""Steps in the rolling mean."""

DEVIATIONS = 7.0

LEAST = 20
"""Fewest values in the rolling mean against which a value is judged."""

ROUNDING = 1e-9
"""Largest distance from the mean, relative to it, that rounding may make."""

LARGEST = 1e150
"""Larger values count as this one, so that sums of their squares are finite."""


@dataclass(frozen=True)
class SpikeScore:
    """The spike score of a curve.

    Args:
        outliers: the number of values far from the rolling mean.
        judged: the number of values that have a rolling mean.
    """

    outliers: int
    judged: int

    @property
    def share(self) -> float | None:
        """Return the share of outliers; None if no value was judged."""
        return self.outliers / self.judged if self.judged else None


def spike_score(values: ArrayLike, log_every: int = 1) -> SpikeScore:
    """Return the spike score of a curve.

    Args:
        values: the logged values in the order of their steps, ``(n,)``.
        log_every: the steps between two values.
    """
    curve = np.asarray(values, float)
    ends = np.flatnonzero(~np.isfinite(curve))
    curve = curve[: ends[0]] if len(ends) else curve
    window = WINDOW // log_every
    first = max(LEAST, math.ceil(window / 10))
    if window < LEAST or len(curve) <= first:
        return SpikeScore(0, 0)
    curve = np.clip(curve, -LARGEST, LARGEST)
    center = np.median(curve)  # squares of small numbers lose fewer digits
    centered = curve - center
    counts = np.minimum(np.arange(len(curve)), window)[first:]
    mean = _sums_before(centered, window)[first:] / counts
    square = _sums_before(centered**2, window)[first:] / counts
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    distance = np.abs(centered[first:] - mean)
    outliers = (distance >= DEVIATIONS * deviation) & (distance > ROUNDING * np.abs(mean + center))
    return SpikeScore(int(outliers.sum()), len(outliers))


def _sums_before(values: Floats, window: int) -> Floats:
    """Return the sum of the values before each, at most a window of them, ``(n,)``.

    The window is made up of sums of 1, 2, 4, … values in a row. So a value outside of it leaves no
    rounding error in it, unlike a value that is subtracted from a running sum.
    """
    in_a_row = np.concatenate([np.zeros(window), values])
    total, taken, size = np.zeros(len(values)), 0, 1
    while size <= window:
        if window & size:
            total += in_a_row[taken : taken + len(values)]
            taken += size
        in_a_row = in_a_row[:-size] + in_a_row[size:]
        size *= 2
    return total
