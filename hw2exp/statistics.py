"""Estimates with intervals, over runs: what is said of an arm, and of a cure against none.

A run is the unit: spikes of one run depend on each other, seeds do not. Intervals are of 95 %.
Random resampling starts from a fixed state, so that the same runs give the same numbers. What is
not a number is refused.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 9_999


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
    """Events per unit of exposure, over all runs together, with a bootstrap interval over runs.

    Args:
        events: of each run, ``(R,)``.
        exposure: of each run, ``(R,)``: its steps.
    """
    happened, seen = np.asarray(events, float), np.asarray(exposure, float)

    def of(rows: Any) -> Any:
        return happened[rows].sum(-1) / seen[rows].sum(-1)

    return _bootstrapped(of, len(happened))


def median(values: ArrayLike) -> Estimate:
    """The median, with the interval between two of the values (order statistics).

    Args:
        values: one a run, ``(R,)``; infinite for those that diverged.
    """
    from scipy.stats import quantile_test

    known = np.sort(_known(values))
    if not len(known):
        return Estimate(math.nan, math.nan, math.nan)
    low, high = known[(len(known) - 1) // 2], known[len(known) // 2]
    middle = low if low == high else (low + high) / 2
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
    tail = (1 - CONFIDENCE) / 2
    # Not interpolated, since some may be infinite.
    low, high = np.quantile(statistic(rows), [tail, 1 - tail], method="inverted_cdf")
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
    """That the mean of paired differences is not zero, by turning signs (a permutation test).

    Args:
        differences: one a seed, ``(R,)``; of fewer than two nothing can be said: 1.
        alternative: ``two-sided``, ``less`` or ``greater``.
    """
    from scipy.stats import permutation_test

    known = _known(differences)
    if len(known) < 2:
        return 1.0
    test = permutation_test(
        (known, np.zeros_like(known)),
        lambda one, other, axis: np.mean(one - other, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        alternative=alternative,
        rng=np.random.default_rng(0),
    )
    return float(test.pvalue)


def mean(values: ArrayLike) -> Estimate:
    """The mean, with a bootstrap interval.

    Args:
        values: one a run, ``(R,)``.
    """
    known = _known(values)
    return _bootstrapped(lambda rows: known[rows].mean(-1), len(known))


def adjusted(pvalues: Sequence[float]) -> list[float]:
    """P-values of several comparisons, corrected for their number (Benjamini & Hochberg 1995).

    Args:
        pvalues: one a comparison.
    """
    from scipy.stats import false_discovery_control

    return [float(p) for p in false_discovery_control(pvalues)] if pvalues else []
