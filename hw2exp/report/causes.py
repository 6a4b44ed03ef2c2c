"""Count an arm's spikes: their heights, and the exploding gradients before them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw2exp.diagnostics.explosions import excess_pvalue
from hw2exp.diagnostics.statistics import Estimate, proportion
from hw2exp.records.arms import Arm
from hw2exp.records.run_dir import RunResult


@dataclass(frozen=True)
class Explosions:
    """Counts of an arm's spikes and exploding gradients that come soon after each other.

    Runs without spikes count too: in ``base``, and among the explosions that no spike follows.

    Args:
        after: number of spikes that begin soon after an explosion.
        share: their share of all spikes.
        base: the share of steps soon after an explosion, among steps at which a spike could begin.
        pvalue: p-value of spikes beginning there no more often than ``base``, see
            :func:`excess_pvalue`.
        steps: number of steps with an exploding gradient.
        followed: number of these steps that come soon before a spike.
    """

    after: int
    share: Estimate
    base: float
    pvalue: float
    steps: int
    followed: int


@dataclass(frozen=True)
class Causes:
    """The spikes of an arm.

    Args:
        arm: the arm.
        spiking: number of runs with spikes.
        spikes: number of spikes.
        above: number of spikes above the initial loss.
        above_share: their share of all spikes.
        explosions: counts of the explosions around spikes; None if an older run did not record
            them.
    """

    arm: Arm
    spiking: int
    spikes: int
    above: int
    above_share: Estimate
    explosions: Explosions | None


def causes(arm: Arm) -> Causes | None:
    """Count an arm's spikes; return None if there are none.

    Args:
        arm: the arm.
    """
    results = arm.results
    counts = [len(result.spikes) for result in results]
    if not any(counts):
        return None
    above = [_count(result, "above_initial") for result in results]
    return Causes(
        arm,
        spiking=sum(count > 0 for count in counts),
        spikes=sum(counts),
        above=sum(above),
        above_share=proportion(above, counts),
        explosions=_explosions(results),
    )


def _explosions(results: Sequence[RunResult]) -> Explosions | None:
    if not all(result.explosions for result in results):
        return None
    counts = np.array([len(result.spikes) for result in results])
    after = np.array([_count(result, "after_explosion") for result in results])
    watched, soon, steps, followed = (
        np.array([result.explosions[key] for result in results])
        for key in ("watched", "soon_after", "steps", "followed")
    )
    return Explosions(
        after=int(after.sum()),
        share=proportion(after, counts),
        base=float(soon.sum() / max(watched.sum(), 1)),
        pvalue=excess_pvalue(after, counts, soon / np.maximum(watched, 1)),
        steps=int(steps.sum()),
        followed=int(followed.sum()),
    )


def _count(result: RunResult, key: str) -> int:
    return sum(bool(spike[key]) for spike in result.spikes)
