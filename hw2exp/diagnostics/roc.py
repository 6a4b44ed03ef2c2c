"""Judge how well scores tell events from other moments, with a run as the unit (ROC analysis)."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hw2exp.diagnostics.shares import proportion, share
from hw2exp.diagnostics.statistics import (
    TAIL,
    Estimate,
    Floats,
    bootstrapped,
    multiplicities,
    widened,
)


@dataclass(frozen=True)
class Alarms:
    """An alarm at scores above a threshold.

    Args:
        threshold: the threshold.
        recall: the share of events with an alarm.
        false: the share of other moments with an alarm.
    """

    threshold: float
    recall: Estimate
    false: Estimate


@dataclass(frozen=True)
class Scores:
    """The scores of moments of R runs; some moments are events.

    Args:
        values: the scores, not NaN, ``(n,)``.
        events: whether each moment is an event, ``(n,)``; at least one is, and one is not.
        runs: the index of each moment's run, from 0 to R - 1, ``(n,)``.
    """

    values: Floats
    events: NDArray[np.bool_]
    runs: NDArray[np.int64]

    def negated(self) -> "Scores":
        """Return the scores with their signs changed."""
        return replace(self, values=-self.values)

    def area(self) -> Estimate:
        """Return the area below the ROC curve, pooled over all runs.

        It is the probability that an event has a higher score than another moment (Mann & Whitney
        1947), where ties count one half. The interval is a bootstrap over runs, widened to include
        Wilson's for as many independent pairs as there are moments of the rarer kind: a mean over
        all pairs varies no more than one over these (Hoeffding 1948).
        """
        won = self._won()  # (R, R)
        counts = [np.bincount(self.runs[of], minlength=len(won)) for of in (self.events, self.rest)]
        alone = won.sum() / (counts[0].sum() * counts[1].sum())

        def of(rows: NDArray[np.int64]) -> Floats:
            drawn = multiplicities(rows)  # (..., R)
            pairs = (drawn @ counts[0]) * (drawn @ counts[1])
            with np.errstate(invalid="ignore"):  # resampled runs may have no events
                areas = ((drawn @ won) * drawn).sum(-1) / pairs
            return np.asarray(np.where(np.isnan(areas), alone, areas))

        least = int(min(count.sum() for count in counts))
        wilson = share(round(alone * least), least)
        return widened(bootstrapped(of, len(won)), wilson.low, wilson.high)

    def differences(self) -> Floats:
        """Return how much higher each run's events rank than its moments do on average, ``(R,)``.

        It is the sum of the events' ranks among all runs, minus the run's mean rank times the
        number of its events. If each run has as many events as other moments, the sum over runs is
        the number of all pairs times the area above one half, and exchanging the two in a run
        changes the sign of its difference.
        """
        from scipy.stats import rankdata

        ranks, events = rankdata(self.values), np.bincount(self.runs, self.events)
        usual = np.bincount(self.runs, ranks) / np.bincount(self.runs)
        return np.asarray(np.bincount(self.runs, ranks * self.events) - events * usual)

    def curve(self) -> tuple[Floats, Floats]:
        """Return the ROC curve: the shares of other moments and of events at or above each score.

        Returns:
            Both shares for each score, from the largest, after a score of ∞, ``(m,)`` each.
        """
        scores = np.concatenate([[np.inf], np.unique(self.values)[::-1]])
        kinds = (np.sort(self.values[of]) for of in (self.rest, self.events))
        others, events = (1 - np.searchsorted(own, scores) / len(own) for own in kinds)
        return others, events

    def alarms(self, per: int) -> Alarms:
        """Return the alarm that is false at one of ``per`` moments without an event.

        The threshold is the score of one of these moments. With fewer than ``per`` - 1 of them, it
        is their largest score, and more alarms are false. The share of all such moments above the
        k-th largest of n has the Beta distribution of k and n + 1 - k (Wilks 1941). The interval of
        recall, a bootstrap over runs, is for this threshold.

        Args:
            per: the number of moments without an event for each false alarm.
        """
        from scipy.stats import beta

        others = np.sort(self.values[self.rest])
        n = len(others)
        k = max((n + 1) // per, 1)
        threshold = others[n - k]
        ends = beta.ppf(TAIL, k, n + 1 - k), beta.isf(TAIL, k, n + 1 - k)
        false = Estimate(k / (n + 1), *map(float, ends))
        runs = self.runs[self.events]
        found = np.bincount(runs, self.values[self.events] > threshold)
        return Alarms(float(threshold), proportion(found, np.bincount(runs)), false)

    @property
    def rest(self) -> NDArray[np.bool_]:
        """Return whether each moment is no event, ``(n,)``."""
        return ~self.events

    def _won(self) -> Floats:
        """Return how many pairs of an event of a run and another moment of a run are in order.

        Returns:
            The number of pairs in which the event's score is higher, ties one half, ``(R, R)``.
        """
        runs = int(self.runs.max()) + 1
        won = np.zeros((runs, runs))
        scores, own = self.values[self.events], self.runs[self.events]
        for run in range(runs):
            others = np.sort(self.values[self.rest & (self.runs == run)])
            below = np.searchsorted(others, scores, "left") + np.searchsorted(
                others, scores, "right"
            )
            won[:, run] = np.bincount(own, below / 2, minlength=runs)
        return won
