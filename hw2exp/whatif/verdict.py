"""Judge what became of a spike in a branch, by the bench's own definition of a spike."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from hw2exp.config.schema import Spikes
from hw2exp.diagnostics.spikes import SpikeDetector
from hw2exp.diagnostics.statistics import Floats
from hw2exp.records.spike import Spike
from hw2exp.whatif.branches import Branches

WORSE = 2.0
"""A spike is worse if it rises this many times as high above its baseline as the run's own."""


class Outcome(StrEnum):
    """What became of a spike. The first that fits is taken; steps are counted to the last one.

    A spike *happens* in a branch if a spike of the branch has a step from the run's spike's first
    to its last.
    """

    DIVERGES = "diverges"  # the branch turns non-finite, and the run does not
    WORSE = "worse"  # it happens, ``WORSE`` times as high above its baseline
    HAPPENS = "happens"
    DELAYED = "delayed"  # it doesn't happen, but the branch has more spikes afterwards than the run
    PREVENTED = "prevented"


@dataclass(frozen=True)
class Fate:
    """What became of a spike in one branch.

    Args:
        outcome: what became of it.
        peak: the largest loss from the run's spike's first step to its last.
        later: the number of spikes that start after the run's spike.
    """

    outcome: Outcome
    peak: float
    later: int


def judge(
    branches: Branches, before: Floats, own: int, spike: Spike, knobs: Spikes, initial: float
) -> list[Fate]:
    """Judge each branch.

    Args:
        branches: the branches.
        before: the run's losses of all steps before the branches, ``(n,)``.
        own: the index of the branch without an intervention.
        spike: the run's spike.
        knobs: the definition of a spike.
        initial: the loss before training.
    """
    losses = branches.losses
    found = _spikes(losses, before, knobs, initial)
    window = slice(spike.start - branches.first, spike.end - branches.first + 1)
    with np.errstate(all="ignore"):
        peaks = [np.nanmax(column, initial=-np.inf) for column in losses[window].T]
    later = [sum(each.start > spike.end for each in spikes) for spikes in found]
    fates = []
    for place, spikes in enumerate(found):
        there = [each for each in spikes if each.start <= spike.end and each.end >= spike.start]
        height = max((each.loss - each.median for each in there), default=0.0)
        if branches.diverged_at[place] and not branches.diverged_at[own]:
            outcome = Outcome.DIVERGES
        elif height >= WORSE * (spike.loss - spike.median):
            outcome = Outcome.WORSE
        elif there:
            outcome = Outcome.HAPPENS
        else:
            outcome = Outcome.DELAYED if later[place] > later[own] else Outcome.PREVENTED
        fates.append(Fate(outcome, float(peaks[place]), later[place]))
    return fates


def _spikes(losses: Floats, before: Floats, knobs: Spikes, initial: float) -> list[list[Spike]]:
    """Find the spikes of branches ``(n, k)``, each with the run's losses before it."""

    def detector(replicas: int) -> SpikeDetector:
        each = (np.full(replicas, value) for value in (knobs.margin, knobs.deviations, initial))
        return SpikeDetector(knobs.window, *each)

    run, branches = detector(1), detector(losses.shape[1])
    run.update(before[:, None])
    for replica in range(losses.shape[1]):
        branches.restore(replica, len(before), run.recent(0), run.spikes(0))
    branches.update(losses)
    return [branches.spikes(replica) for replica in range(losses.shape[1])]
