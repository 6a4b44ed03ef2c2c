"""Find exploding gradients by their norms from step to step, and count the spikes after them.

**Definition.** A step's gradient has exploded if its norm before clipping exceeds `FACTOR` times
the running median of the norms of the `WINDOW` steps before it, or is infinite. A norm of NaN
stands for a run that has ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw2exp.diagnostics.paired_tests import paired_pvalue
from hw2exp.diagnostics.spikes import running_median
from hw2exp.diagnostics.statistics import Floats

Flags = NDArray[np.bool_]

WINDOW = 51
FACTOR = 10.0
BEFORE = 5
"""Most steps between an explosion and a spike that it may have caused."""


def explosions(norms: Floats, factor: float = FACTOR, before: Floats | None = None) -> Flags:
    """Find the steps whose gradient has exploded, ``(n, R)``.

    Args:
        norms: the gradient norm of every step, ``(n, R)``.
        factor: the threshold, in units of the running median.
        before: the norms of earlier steps, at most ``WINDOW``.
    """
    seen = norms[:0] if before is None else before
    series = np.concatenate([np.full((1, norms.shape[1]), np.nan), seen, norms])
    with np.errstate(invalid="ignore"):
        # A median is at least the smallest norm before, and few norms are so many times as large.
        high = norms > factor * np.fmin.accumulate(series)[len(seen) : -1]
        exploded = norms > factor * running_median(norms, WINDOW, seen, high)
    return np.asarray(exploded | np.isinf(norms))


class ExplosionDetector:
    """A detector of the explosions of R runs, fed in blocks of steps of any size.

    Args:
        replicas: R.
    """

    def __init__(self, replicas: int) -> None:
        self._steps = 0
        self._recent = np.full((0, replicas), np.nan)  # the last norms, at most `WINDOW`
        self._found: list[list[int]] = [[] for _ in range(replicas)]

    def update(self, norms: Floats) -> None:
        """Search a block of norms, ``(n, R)``, NaN for runs that have ended; n may be 0."""
        if not len(norms):
            return
        exploded = explosions(norms, before=self._recent)
        for offset, replica in np.argwhere(exploded):
            self._found[replica].append(self._steps + int(offset) + 1)
        self._recent = np.concatenate([self._recent, norms])[-WINDOW:]
        self._steps += len(norms)

    def recent(self, replica: int) -> Floats:
        """Return the last norms of a replica, at most ``WINDOW``."""
        return self._recent[:, replica].copy()

    def restore(self, replica: int, step: int, recent: Floats, steps: Sequence[int]) -> None:
        """Restore a replica from its last searched step; all replicas must be at the same one.

        Args:
            replica: the replica.
            step: the last searched step.
            recent: its last norms, at most ``WINDOW``.
            steps: the steps of its explosions so far.
        """
        self._steps = step
        if len(self._recent) != len(recent):
            self._recent = np.full((len(recent), len(self._found)), np.nan)
        self._recent[:, replica] = recent
        self._found[replica] = list(steps)

    def steps(self, replica: int) -> list[int]:
        """Return the steps at which a replica's gradient has exploded so far, counted from 1."""
        return list(self._found[replica])


@dataclass(frozen=True)
class Preceded:
    """Counts of a run's spikes that come soon after explosions; soon is ``BEFORE`` steps or fewer.

    Args:
        after: for each spike, whether a gradient exploded soon before it.
        explosions: the number of steps with an explosion.
        followed: the number of explosions soon before a spike.
        watched: the number of steps at which a spike could have begun.
        soon_after: the number of watched steps soon after an explosion.
    """

    after: Sequence[bool]
    explosions: int
    followed: int
    watched: int
    soon_after: int

    @property
    def base(self) -> float:
        """Return the share of watched steps that come soon after an explosion."""
        return self.soon_after / max(self.watched, 1)


def preceded(starts: Sequence[int], exploded: Sequence[int], first: int, last: int) -> Preceded:
    """Count the spikes of a run that begin soon after an exploding gradient.

    An explosion at the spike's first step doesn't count: it is the spike's effect.

    Args:
        starts: the steps at which the spikes begin.
        exploded: the steps at which the gradient exploded.
        first: the first step at which a spike could begin.
        last: the last step at which a spike could begin.
    """
    reached = {step + after for step in exploded for after in range(1, BEFORE + 1)}
    leading = {start - back for start in starts for back in range(1, BEFORE + 1)}
    return Preceded(
        after=[start in reached for start in starts],
        explosions=len(exploded),
        followed=sum(step in leading for step in exploded),
        watched=max(last - first + 1, 0),
        soon_after=sum(first <= step <= last for step in reached),
    )


def excess_pvalue(after: ArrayLike, spikes: ArrayLike, base: ArrayLike) -> float:
    """Return the p-value that spikes come after explosions no more often than any step.

    The test compares the number of each run's spikes soon after an explosion with the number
    expected from the run's own base rate, by flipping the signs of the differences. The difference
    of a run without spikes is 0.

    Args:
        after: the number of spikes soon after an explosion in each run, ``(R,)``.
        spikes: the number of spikes in each run, ``(R,)``.
        base: the share of each run's steps that come soon after an explosion, ``(R,)``.
    """
    return paired_pvalue(np.asarray(after) - np.asarray(spikes) * np.asarray(base), "greater")
