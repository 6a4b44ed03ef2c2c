"""What an arm's spikes come after and how high they are, counted over all of its runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw2exp.records.run_dir import RunResult
from hw2exp.records.runs import Arm
from hw2exp.statistics import Estimate, paired_pvalue, proportion


@dataclass(frozen=True)
class Explosions:
    """How spikes and exploding gradients go together.

    Runs without spikes count too: in the share of all steps, and among the explosions that no
    spike follows.

    Args:
        after: how many spikes begin soon after an explosion.
        share: their share of all spikes.
        base: the share of all steps at which a spike could begin that come as soon after one.
        pvalue: that spikes begin there no more often than that: of each run the spikes that do,
            less as many as its own share of steps has it, by turning signs.
        steps: how many steps had an exploding gradient.
        followed: how many of them come soon before a spike.
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
        arm: its runs.
        spiking: how many runs have spikes.
        spikes: how many there are.
        above: how many exceed the loss that training started with.
        above_share: their share.
        explosions: what they come after; nothing if there are no spikes, or older runs did not
            record it.
    """

    arm: Arm
    spiking: int
    spikes: int
    above: int
    above_share: Estimate
    explosions: Explosions | None


def causes(arm: Arm) -> Causes | None:
    """Count an arm's spikes; nothing if it has none.

    Args:
        arm: its runs.
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
        pvalue=paired_pvalue(after - counts * soon / np.maximum(watched, 1), "greater"),
        steps=int(steps.sum()),
        followed=int(followed.sum()),
    )


def _count(result: RunResult, key: str) -> int:
    return sum(bool(spike[key]) for spike in result.spikes)
