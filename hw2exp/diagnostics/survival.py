"""Estimate how many runs have had no event so far, by time (Kaplan & Meier 1958)."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hw2exp.diagnostics.statistics import CONFIDENCE, Estimate, Floats


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
