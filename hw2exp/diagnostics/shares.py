"""Estimate shares: of runs, and of the events of runs, with intervals.

A run is the unit, as in :mod:`hw2exp.diagnostics.statistics`.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hw2exp.diagnostics.statistics import (
    CONFIDENCE,
    UNKNOWN,
    Estimate,
    Floats,
    between,
    weights,
    widened,
)


def share(count: int, total: int) -> Estimate:
    """Return the share of counted runs in a total, with Wilson's interval.

    Args:
        count: the number of runs that count.
        total: the number of all runs; if it is 0, the share is unknown.
    """
    from scipy.stats import binomtest

    if not total:
        return UNKNOWN
    interval = binomtest(count, total).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(count / total, float(interval.low), float(interval.high))


def proportion(counts: ArrayLike, totals: ArrayLike, less: ArrayLike = 0) -> Estimate:
    """Return a share of events, pooled over all runs.

    The interval is a bootstrap over runs, because events of one run depend on each other. It is
    widened to include Wilson's, because a bootstrap has no width if all events are alike.

    Args:
        counts: events of each run that count, ``(R,)``.
        totals: all events of each run, ``(R,)``; if all are zero, the share is unknown.
        less: events to subtract from those that count, such as a placebo's, ``(R,)``.
    """
    value, resampled, alone = _pooled(counts, totals, less)
    return widened(between(value, resampled), alone.low, alone.high)


def proportions_difference(one: Sequence[ArrayLike], other: Sequence[ArrayLike]) -> Estimate:
    """Return the difference of two shares of events of the same runs, each pooled over all runs.

    The interval is a bootstrap over runs, widened to include Newcombe's.

    Args:
        one: the arguments of :func:`proportion` for the first share.
        other: those for the second share.
    """
    (value, resampled, alone), (less, less_resampled, less_alone) = _pooled(*one), _pooled(*other)
    interval = newcombe(alone, less_alone)
    return widened(between(value - less, resampled - less_resampled), interval.low, interval.high)


def newcombe(one: Estimate, other: Estimate) -> Estimate:
    """Return the difference of two independent shares with Wilson's intervals.

    The interval is that of Newcombe (1998), method 10.
    """
    value = one.value - other.value
    low = math.hypot(one.value - one.low, other.high - other.value)
    high = math.hypot(one.high - one.value, other.value - other.low)
    return Estimate(value, value - low, value + high)


def _pooled(
    counts: ArrayLike, totals: ArrayLike, less: ArrayLike = 0
) -> tuple[float, Floats, Estimate]:
    """Return a share of events, its resamples over runs, and the share with Wilson's interval."""
    some, of_all = np.asarray(counts, float), np.asarray(totals, float)
    if not of_all.any():
        return math.nan, np.full(1, math.nan), UNKNOWN
    net, alone = some - less, share(round(some.sum()), round(of_all.sum()))
    value = float(net.sum() / of_all.sum())
    shift = value - alone.value
    alone = Estimate(value, alone.low + shift, alone.high + shift)
    if len(some) == 1:  # every resample is the same run
        return value, np.full(1, math.nan), alone
    # Not by BLAS, whose threads cost more than they save here.
    sums, base = (np.einsum("nr,r->n", weights(len(some)), each) for each in (net, of_all))
    with np.errstate(invalid="ignore"):  # resampled runs may have no events
        shares = sums / base
    return value, np.where(np.isnan(shares), value, shares), alone
