"""Estimate statistics over runs, with intervals: of an arm, and of a cure against no cure.

A run is the unit, because spikes of one run depend on each other and seeds do not. Intervals are at
95 %. Random resampling has a fixed seed, so that the same runs give the same numbers. NaN is
refused.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
RESAMPLES = 9_999
"""Resamples of a bootstrap."""
SIGNINGS = 99_999
"""Sign patterns of a permutation test, at least; all of them if there are no more."""
BLOCK = 4_096
"""Sign patterns in a block."""
LEAST_CORRECTED = 0.005
"""Upper limit of a permutation test's smallest p-value, corrected for the number of tests."""


@dataclass(frozen=True)
class Estimate:
    """An estimate and its interval; NaN where there is none.

    Args:
        value: the estimate.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    value: float
    low: float
    high: float


def share(count: int, total: int) -> Estimate:
    """Return a share of runs, with Wilson's interval.

    Args:
        count: runs that count.
        total: all runs.
    """
    from scipy.stats import binomtest

    if not total:
        return Estimate(math.nan, math.nan, math.nan)
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
    return _at_least(_bootstrapped(of, len(happened)), *(end / seen.sum() for end in ends))


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

    return _at_least(_bootstrapped(of, len(some)), alone.low, alone.high)


def _at_least(found: Estimate, low: float, high: float) -> Estimate:
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

    known = np.sort(_known(values))
    if not len(known):
        return Estimate(math.nan, math.nan, math.nan)
    middle = quartiles(known)[1]
    if np.isinf(known).any():  # ranks instead of values, since ∞ - ∞ is NaN
        interval = quantile_test(np.arange(len(known)), p=0.5).confidence_interval(CONFIDENCE)
        ends = [known[int(end)] if np.isfinite(end) else math.nan for end in interval]
        return Estimate(float(middle), *map(float, ends))
    interval = quantile_test(known, p=0.5).confidence_interval(CONFIDENCE)
    return Estimate(float(middle), float(interval.low), float(interval.high))


def interquartile_mean(values: ArrayLike) -> Estimate:
    """Return the mean of the middle half, with a bootstrap interval (Agarwal et al. 2021).

    Args:
        values: one a run, ``(R,)``; infinite for diverged runs.
    """
    from scipy.stats import trim_mean

    known = _known(values)
    return _bootstrapped(lambda rows: trim_mean(known[rows], 0.25, axis=-1), len(known))


def _known(values: ArrayLike) -> Floats:
    known = np.asarray(values, float)
    if np.isnan(known).any():
        raise ValueError("NaN is no value to estimate from")
    return known


def _bootstrapped(statistic: Callable[[Any], Any], runs: int) -> Estimate:
    """Return a statistic of all runs, with a percentile bootstrap; no interval for a single run.

    Args:
        statistic: a function from run indices ``(..., R)`` to values ``(...)``.
        runs: number of runs, R.
    """
    if not runs:
        return Estimate(math.nan, math.nan, math.nan)
    value = float(statistic(np.arange(runs)))
    if runs == 1:  # every resample is the same run
        return Estimate(value, math.nan, math.nan)
    rows = np.random.default_rng(0).integers(runs, size=(RESAMPLES, runs))
    # No interpolation, since some values may be infinite.
    low, high = np.quantile(statistic(rows), [TAIL, 1 - TAIL], method="inverted_cdf")
    return Estimate(value, float(low), float(high))


@dataclass(frozen=True)
class Survival:
    """The share of runs without an event so far, by time (Kaplan & Meier 1958).

    Args:
        times: times at which the share changes, ``(n,)``.
        share: share from each time on, ``(n,)``.
        low: lower bound of the share, ``(n,)``.
        high: upper bound of the share, ``(n,)``.
    """

    times: Floats
    share: Floats
    low: Floats
    high: Floats

    def median(self) -> Estimate:
        """Return the time by which half of the runs had an event; infinite if fewer did."""
        return Estimate(*(self._half(curve) for curve in (self.share, self.low, self.high)))

    def _half(self, curve: Floats) -> float:
        below = self.times[curve <= 0.5]
        return float(below[0]) if len(below) else math.inf


def survival(times: ArrayLike, happened: ArrayLike) -> Survival:
    """Estimate the share of runs without an event over time, from right-censored data.

    Args:
        times: time of each run's event, or of its last observation, ``(R,)``.
        happened: whether the time is that of an event, ``(R,)``.
    """
    from scipy.stats import CensoredData, ecdf

    known, event = np.asarray(times, float), np.asarray(happened, bool)
    if not event.any():
        return Survival(*np.empty((4, 0)))
    found = ecdf(CensoredData(uncensored=known[event], right=known[~event])).sf
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        # The formula has no interval once no run is left; the share is exactly 0 there.
        warnings.filterwarnings("ignore", "The confidence interval is undefined", RuntimeWarning)
        interval = found.confidence_interval(CONFIDENCE, method="log-log")
    low, high = interval.low.probabilities, interval.high.probabilities
    return Survival(
        np.asarray(found.quantiles, float),
        np.asarray(found.probabilities, float),
        np.where(np.isnan(low), found.probabilities, low),
        np.where(np.isnan(high), found.probabilities, high),
    )


def paired_pvalue(differences: ArrayLike, alternative: str = "two-sided") -> float:
    """Return the p-value of the hypothesis that paired differences have mean zero.

    Args:
        differences: one a seed, ``(R,)``; see :func:`paired_pvalues`.
        alternative: ``two-sided``, ``less`` or ``greater``.
    """
    return paired_pvalues([differences], alternative)[0]


def paired_pvalues(differences: Sequence[ArrayLike], alternative: str = "two-sided") -> list[float]:
    """Test for each comparison whether the mean of its paired differences is zero.

    This is a permutation test that flips signs. With few seeds it tries all sign patterns.
    Otherwise it draws random patterns, enough for the smallest p-value, corrected for the number of
    comparisons, to be at most ``LEAST_CORRECTED``: then a lone effect among many can be found.

    Args:
        differences: for each comparison, one difference a seed, ``(R,)``; with fewer than two
            seeds, the p-value is 1.
        alternative: ``two-sided``, ``less`` or ``greater``.

    Returns:
        The p-values, not corrected.
    """
    known = [_known(each) for each in differences]
    patterns = max(SIGNINGS, math.ceil(len(known) / LEAST_CORRECTED))
    found = [1.0] * len(known)
    for seeds in {len(each) for each in known if len(each) > 1}:
        places = [place for place, each in enumerate(known) if len(each) == seeds]
        columns = np.stack([known[place] for place in places], axis=1)  # (R, comparisons)
        for place, p in zip(places, _by_turning(columns, patterns, alternative), strict=True):
            found[place] = float(p)
    return found


def _by_turning(columns: Floats, patterns: int, alternative: str) -> Floats:
    """Return for each column the share of sign patterns whose sum is at least as extreme."""
    observed = columns.sum(0)
    slack = 1e-9 * np.abs(columns).sum(0)  # equal sums differ by rounding
    extreme: Mapping[str, Callable[[Floats], Any]] = {
        "two-sided": lambda sums: np.abs(sums) >= np.abs(observed) - slack,
        "greater": lambda sums: sums >= observed - slack,
        "less": lambda sums: sums <= observed + slack,
    }
    complete = 2 ** len(columns)
    count = np.zeros(columns.shape[1])
    for signs in _signs(len(columns), min(patterns, complete), patterns >= complete):
        count += extreme[alternative](signs @ columns).sum(0)
    return count / complete if patterns >= complete else (count + 1) / (patterns + 1)


def _signs(seeds: int, patterns: int, all_of_them: bool) -> Iterator[Floats]:
    """Yield sign patterns in blocks ``(n, R)``: all in order, or random ones."""
    generator = np.random.default_rng(0)
    for first in range(0, patterns, BLOCK):
        rows = min(BLOCK, patterns - first)
        if all_of_them:
            bits = np.arange(first, first + rows)[:, None] >> np.arange(seeds) & 1
        else:
            bits = generator.integers(2, size=(rows, seeds), dtype=np.int8)
        yield np.asarray(1 - 2 * bits, float)


def mean(values: ArrayLike) -> Estimate:
    """Return the mean, with a bootstrap interval.

    Args:
        values: one a run, ``(R,)``.
    """
    known = _known(values)
    return _bootstrapped(lambda rows: known[rows].mean(-1), len(known))


def mean_difference(differences: ArrayLike, unit: float) -> Estimate:
    """Return the mean of paired differences, with a bootstrap interval.

    If no pair differs, a bootstrap has no width. Then the interval is ± unit times the upper end of
    Wilson's interval for zero differing pairs.

    Args:
        differences: one a seed, ``(R,)``.
        unit: the smallest nonzero difference of a pair.
    """
    found = mean(differences)
    if np.any(np.asarray(differences, float)):
        return found
    most = unit * share(0, np.size(differences)).high
    return _at_least(found, -most, most)


def adjusted(pvalues: Sequence[float]) -> list[float]:
    """Correct p-values for the number of comparisons (Benjamini & Hochberg 1995).

    Args:
        pvalues: one a comparison.
    """
    from scipy.stats import false_discovery_control

    return [float(p) for p in false_discovery_control(pvalues)] if pvalues else []
