"""Estimates with intervals, over runs: what is said of an arm, and of a cure against none.

A run is the unit: spikes of one run depend on each other, seeds do not. Intervals are of 95 %.
Random resampling starts from a fixed state, so that the same runs give the same numbers. What is
not a number is refused.
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
"""Of a bootstrap."""
SIGNINGS = 99_999
"""Patterns of signs that a permutation test tries at least, where there are so many."""
BLOCK = 4_096
"""Patterns that are tried at once."""
LEAST_CORRECTED = 0.005
"""What the smallest p-value of such a test must come to, corrected for the number of tests."""


@dataclass(frozen=True)
class Estimate:
    """A value between the ends of its interval; NaN where there is none.

    Args:
        value: the estimate.
        low: the interval's lower end.
        high: its upper end.
    """

    value: float
    low: float
    high: float


def share(count: int, total: int) -> Estimate:
    """A share of runs, with Wilson's interval.

    Args:
        count: how many.
        total: of how many.
    """
    from scipy.stats import binomtest

    if not total:
        return Estimate(math.nan, math.nan, math.nan)
    interval = binomtest(count, total).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(count / total, float(interval.low), float(interval.high))


def rate(events: ArrayLike, exposure: ArrayLike) -> Estimate:
    """Return events per unit of exposure over all runs together.

    The interval is a bootstrap's over runs. Of few events that is too narrow, and of none it has no
    width, so it is made as wide as the exact interval of a Poisson count (Garwood 1936), whose
    upper end is 3.7 events where there were none.

    Args:
        events: of each run, ``(R,)``.
        exposure: of each run, ``(R,)``: its steps.
    """
    from scipy.stats import chi2

    happened, seen = np.asarray(events, float), np.asarray(exposure, float)

    def of(rows: Any) -> Any:
        return happened[rows].sum(-1) / seen[rows].sum(-1)

    total = happened.sum()
    ends = chi2.ppf(TAIL, 2 * total) / 2 if total else 0.0, chi2.isf(TAIL, 2 * total + 2) / 2
    return _at_least(_bootstrapped(of, len(happened)), *(end / seen.sum() for end in ends))


def proportion(counts: ArrayLike, totals: ArrayLike) -> Estimate:
    """Return a share of events that belong to runs, over all runs together.

    The interval is a bootstrap's over runs, since events of one run depend on each other. It is at
    least as wide as Wilson's, as a bootstrap has no width where all events are alike.

    Args:
        counts: of each run, how many of its events, ``(R,)``.
        totals: how many events each run has, ``(R,)``; not all zero.
    """
    some, of_all = np.asarray(counts, float), np.asarray(totals, float)
    alone = share(round(some.sum()), round(of_all.sum()))

    def of(rows: Any) -> Any:
        with np.errstate(invalid="ignore"):  # drawn runs may have no events: they say nothing
            shares = some[rows].sum(-1) / of_all[rows].sum(-1)
        return np.where(np.isnan(shares), alone.value, shares)

    return _at_least(_bootstrapped(of, len(some)), alone.low, alone.high)


def _at_least(found: Estimate, low: float, high: float) -> Estimate:
    """Widen an interval to include another; of a single run there is none."""
    if math.isnan(found.low):
        return found
    return Estimate(found.value, min(found.low, float(low)), max(found.high, float(high)))


def quartiles(values: ArrayLike, axis: int = -1) -> Floats:
    """Return the first quartile, the median and the third quartile.

    The median of an even number of values is the mean of the two in the middle. A quartile is one
    of the values: the smallest that a quarter, or three quarters, do not exceed.

    Args:
        values: any shape; NaN is missing, infinite values are allowed.
        axis: of the values to be summed up.

    Returns:
        The three along a new first axis; NaN where all values are missing.
    """
    ascending = np.moveaxis(np.sort(np.asarray(values, float), axis=axis), axis, 0)  # NaN last
    count = (~np.isnan(ascending)).sum(0)

    def at(place: Any) -> Floats:
        within = np.clip(place, 0, np.maximum(count - 1, 0))[None]
        return np.asarray(np.take_along_axis(ascending, within, 0)[0])

    middle = at((count - 1) // 2) / 2 + at(count // 2) / 2  # halves first: a sum may overflow
    return np.stack([at(-(-count // 4) - 1), middle, at(-(-3 * count // 4) - 1)])


def median(values: ArrayLike) -> Estimate:
    """The median, with the interval between two of the values (order statistics).

    Args:
        values: one a run, ``(R,)``; infinite for those that diverged.
    """
    from scipy.stats import quantile_test

    known = np.sort(_known(values))
    if not len(known):
        return Estimate(math.nan, math.nan, math.nan)
    middle = quartiles(known)[1]
    if np.isinf(known).any():  # places instead of values: infinity has no arithmetic
        interval = quantile_test(np.arange(len(known)), p=0.5).confidence_interval(CONFIDENCE)
        ends = [known[int(end)] if np.isfinite(end) else math.nan for end in interval]
        return Estimate(float(middle), *map(float, ends))
    interval = quantile_test(known, p=0.5).confidence_interval(CONFIDENCE)
    return Estimate(float(middle), float(interval.low), float(interval.high))


def interquartile_mean(values: ArrayLike) -> Estimate:
    """The mean of the middle half, with a bootstrap interval (Agarwal et al. 2021).

    Args:
        values: one a run, ``(R,)``; infinite for those that diverged.
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
    """A statistic of all runs, and its percentiles over runs drawn again; none of a single run.

    Args:
        statistic: from places ``(..., R)`` to values ``(...)``.
        runs: R.
    """
    if not runs:
        return Estimate(math.nan, math.nan, math.nan)
    value = float(statistic(np.arange(runs)))
    if runs == 1:  # drawn again it is the same, which tells nothing of others
        return Estimate(value, math.nan, math.nan)
    rows = np.random.default_rng(0).integers(runs, size=(RESAMPLES, runs))
    # Not interpolated, since some may be infinite.
    low, high = np.quantile(statistic(rows), [TAIL, 1 - TAIL], method="inverted_cdf")
    return Estimate(value, float(low), float(high))


@dataclass(frozen=True)
class Survival:
    """The share of runs that have not come to an event yet (Kaplan & Meier 1958).

    Args:
        times: at which it falls, ``(n,)``.
        share: from each of them on, ``(n,)``.
        low: its lower bounds, ``(n,)``.
        high: its upper bounds, ``(n,)``.
    """

    times: Floats
    share: Floats
    low: Floats
    high: Floats

    def median(self) -> Estimate:
        """The time by which half of the runs have; infinite if they have not."""
        return Estimate(*(self._half(curve) for curve in (self.share, self.low, self.high)))

    def _half(self, curve: Floats) -> float:
        below = self.times[curve <= 0.5]
        return float(below[0]) if len(below) else math.inf


def survival(times: ArrayLike, happened: ArrayLike) -> Survival:
    """Estimate the share of runs without an event, where some were not watched until theirs.

    Args:
        times: of each run's event, or of the last look at it, ``(R,)``.
        happened: whether it was the event, ``(R,)``.
    """
    from scipy.stats import CensoredData, ecdf

    known, event = np.asarray(times, float), np.asarray(happened, bool)
    if not event.any():
        return Survival(*np.empty((4, 0)))
    found = ecdf(CensoredData(uncensored=known[event], right=known[~event])).sf
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        # Where nobody is left the formula has no interval: the share is 0 without doubt.
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
    """Return the p-value that the mean of paired differences is zero, see :func:`paired_pvalues`.

    Args:
        differences: one a seed, ``(R,)``; of fewer than two nothing can be said: 1.
        alternative: ``two-sided``, ``less`` or ``greater``.
    """
    return paired_pvalues([differences], alternative)[0]


def paired_pvalues(differences: Sequence[ArrayLike], alternative: str = "two-sided") -> list[float]:
    """Test of each comparison whether the mean of its paired differences is zero.

    A permutation test by turning signs. Where there are few seeds all patterns of signs are tried.
    Else random ones are, so many that the smallest p-value corrected for the number of comparisons
    is at most ``LEAST_CORRECTED``: a lone effect among many can be found.

    Args:
        differences: of each comparison one a seed, ``(R,)``; of fewer than two nothing can be
            said: 1.
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
    """The share of sign patterns under which a sum is as extreme as it is, of each column."""
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
    """Patterns of signs in blocks, ``(n, R)``: all in order, or random ones."""
    generator = np.random.default_rng(0)
    for first in range(0, patterns, BLOCK):
        rows = min(BLOCK, patterns - first)
        if all_of_them:
            bits = np.arange(first, first + rows)[:, None] >> np.arange(seeds) & 1
        else:
            bits = generator.integers(2, size=(rows, seeds), dtype=np.int8)
        yield np.asarray(1 - 2 * bits, float)


def mean(values: ArrayLike) -> Estimate:
    """The mean, with a bootstrap interval.

    Args:
        values: one a run, ``(R,)``.
    """
    known = _known(values)
    return _bootstrapped(lambda rows: known[rows].mean(-1), len(known))


def mean_difference(differences: ArrayLike, unit: float) -> Estimate:
    """Return the mean of paired differences, with a bootstrap interval.

    Where no pair differs a bootstrap has no width. The interval then reaches as far as if those
    pairs differed, by one unit each, that Wilson's interval of none still allows.

    Args:
        differences: one a seed, ``(R,)``.
        unit: the smallest difference that a pair can have.
    """
    found = mean(differences)
    if np.any(np.asarray(differences, float)):
        return found
    most = unit * share(0, np.size(differences)).high
    return _at_least(found, -most, most)


def adjusted(pvalues: Sequence[float]) -> list[float]:
    """P-values of several comparisons, corrected for their number (Benjamini & Hochberg 1995).

    Args:
        pvalues: one a comparison.
    """
    from scipy.stats import false_discovery_control

    return [float(p) for p in false_discovery_control(pvalues)] if pvalues else []
