"""Estimate statistics over runs, with intervals: of an arm, and of a cure against no cure.

A run is the unit, because spikes of one run depend on each other and seeds do not. Intervals are at
95 %. Random resampling has a fixed seed, so that the same runs give the same numbers. NaN is
refused.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
RESAMPLES = 9_999
"""Resamples of a bootstrap."""


@dataclass(frozen=True)
class Estimate:
    """An estimate, and the ends of its interval; NaN where there is none."""

    value: float
    low: float
    high: float


UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def share(count: int, total: int) -> Estimate:
    """Return the share of counted runs in a total, with Wilson's interval."""
    from scipy.stats import binomtest

    if not total:
        return UNKNOWN
    interval = binomtest(count, total).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(count / total, float(interval.low), float(interval.high))


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


def proportion(counts: ArrayLike, totals: ArrayLike) -> Estimate:
    """Return a share of events, pooled over all runs.

    The interval is a bootstrap over runs, because events of one run depend on each other. It is
    widened to include Wilson's, because a bootstrap has no width if all events are alike.

    Args:
        counts: events of each run that count, ``(R,)``.
        totals: all events of each run, ``(R,)``; not all zero.
    """
    some, of_all = np.asarray(counts, float), np.asarray(totals, float)
    alone = share(round(some.sum()), round(of_all.sum()))

    def of(rows: Any) -> Any:
        with np.errstate(invalid="ignore"):  # resampled runs may have no events
            shares = some[rows].sum(-1) / of_all[rows].sum(-1)
        return np.where(np.isnan(shares), alone.value, shares)

    return widened(bootstrapped(of, len(some)), alone.low, alone.high)


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

    middle = at((count - 1) // 2) / 2 + at(count // 2) / 2  # halves first: a sum may overflow
    return np.stack([at(-(-count // 4) - 1), middle, at(-(-3 * count // 4) - 1)])


def median(values: ArrayLike) -> Estimate:
    """Return the median, with an interval between two of the values (order statistics).

    Args:
        values: one a run, ``(R,)``; infinite for diverged runs.
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
        values: one a run, ``(R,)``; infinite for diverged runs.
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
    rows = np.random.default_rng(0).integers(runs, size=(RESAMPLES, runs))
    # No interpolation, since some values may be infinite.
    low, high = np.quantile(statistic(rows), [TAIL, 1 - TAIL], method="inverted_cdf")
    return Estimate(value, float(low), float(high))


def mean(values: ArrayLike) -> Estimate:
    """Return the mean of one value a run, ``(R,)``, with a bootstrap interval."""
    known = known_values(values)
    return bootstrapped(lambda rows: known[rows].mean(-1), len(known))
