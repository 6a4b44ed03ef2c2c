"""What an exploding gradient is, as seen in its norm from step to step, and what comes after it.

**Definition.** A step's gradient has exploded if its norm, before clipping, exceeds `factor` times
the running median of the norms of the `window` steps before it. A norm that is not finite has.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw2exp.diagnostics.spikes import Floats, running_median
from hw2exp.statistics import paired_pvalue

Flags = NDArray[np.bool_]

WINDOW = 51
FACTOR = 10.0
BEFORE = 5
"""How many steps before a spike a gradient may explode to have caused it."""


def explosions(
    norms: Floats, window: int = WINDOW, factor: float = FACTOR, before: Floats | None = None
) -> Flags:
    """Find the steps whose gradient has exploded, ``(n, R)``.

    Args:
        norms: the gradient norm of every step, ``(n, R)``.
        window: steps of the running median.
        factor: how many times it.
        before: the norms of steps before these, at most ``window``.
    """
    with np.errstate(invalid="ignore"):
        exploded = norms > factor * running_median(norms, window, before)
    return np.asarray(exploded | ~np.isfinite(norms))


class ExplosionDetector:
    """Finds the explosions of R runs, fed in blocks of steps of any size.

    Args:
        replicas: R.
        window: steps of the running median.
        factor: how many times it.
    """

    def __init__(self, replicas: int, window: int = WINDOW, factor: float = FACTOR) -> None:
        self.window = window
        self.factor = factor
        self._steps = 0
        self._recent = np.full((0, replicas), np.nan)  # the last norms, at most `window`
        self._found: list[list[int]] = [[] for _ in range(replicas)]

    def update(self, norms: Floats) -> None:
        """Search a block of steps.

        Args:
            norms: ``(n, R)``; NaN of runs that have ended. n may be 0.
        """
        if not len(norms):
            return
        found = explosions(norms, self.window, self.factor, self._recent)
        exploded = found & ~np.isnan(norms)
        for offset, replica in np.argwhere(exploded):
            self._found[replica].append(self._steps + int(offset) + 1)
        self._recent = np.concatenate([self._recent, norms])[-self.window :]
        self._steps += len(norms)

    def recent(self, replica: int) -> Floats:
        """The last norms of a replica, at most ``window``.

        Args:
            replica: which one.
        """
        return self._recent[:, replica].copy()

    def restore(self, replica: int, step: int, recent: Floats, steps: Sequence[int]) -> None:
        """Put a replica back to where it was; all replicas were at the same step.

        Args:
            replica: which one.
            step: the last step that was searched.
            recent: its last norms.
            steps: those at which its gradient has exploded so far.
        """
        self._steps = step
        if len(self._recent) != len(recent):
            self._recent = np.full((len(recent), len(self._found)), np.nan)
        self._recent[:, replica] = recent
        self._found[replica] = list(steps)

    def steps(self, replica: int) -> list[int]:
        """The steps at which a replica's gradient has exploded so far, counted from 1.

        Args:
            replica: which one.
        """
        return list(self._found[replica])


@dataclass(frozen=True)
class Preceded:
    """How often a run's spikes come after explosions.

    Args:
        after: for each spike, whether a gradient exploded at most ``BEFORE`` steps before it.
        explosions: how many steps exploded.
        followed: how many of these come as soon before a spike.
        watched: how many steps there are at which a spike could have begun.
        soon_after: how many of them come as soon after an explosion.
    """

    after: Sequence[bool]
    explosions: int
    followed: int
    watched: int
    soon_after: int

    @property
    def base(self) -> float:
        """The share of all steps that come as soon after an explosion."""
        return self.soon_after / max(self.watched, 1)


def preceded(
    starts: Sequence[int], exploded: Sequence[int], first: int, last: int, before: int = BEFORE
) -> Preceded:
    """Count the spikes of a run that begin soon after an exploding gradient.

    One of the same step doesn't count: it is the spike's effect.

    Args:
        starts: the steps at which its spikes begin.
        exploded: the steps at which its gradient exploded.
        first: the first step at which a spike could begin.
        last: the last one.
        before: how many steps are soon.
    """
    reached = {step + after for step in exploded for after in range(1, before + 1)}
    leading = {start - back for start in starts for back in range(1, before + 1)}
    return Preceded(
        after=[start in reached for start in starts],
        explosions=len(exploded),
        followed=sum(step in leading for step in exploded),
        watched=max(last - first + 1, 0),
        soon_after=sum(first <= step <= last for step in reached),
    )


def excess_pvalue(after: ArrayLike, spikes: ArrayLike, base: ArrayLike) -> float:
    """Return the p-value that spikes begin after explosions no more often than any step comes.

    Of each run the spikes that do are compared with as many as its own share of steps has it, by
    turning the signs of the differences. A run without spikes counts, with a difference of 0.

    Args:
        after: how many spikes of each run begin soon after an explosion, ``(R,)``.
        spikes: how many each has, ``(R,)``.
        base: the share of its steps that come as soon after one, ``(R,)``.
    """
    return paired_pvalue(np.asarray(after) - np.asarray(spikes) * np.asarray(base), "greater")
