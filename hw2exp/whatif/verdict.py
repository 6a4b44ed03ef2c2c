"""Judge the fate of a spike in a branch, by the bench's own definition of a spike."""

from dataclasses import dataclass, replace

import numpy as np

from hw2exp.diagnostics.spikes import SpikeDetector
from hw2exp.records.moments import Outcome
from hw2exp.records.spike import Spike
from hw2exp.whatif.branches import Branches

WORSE = 2.0
"""A spike is worse if it rises this many times as high above its baseline as the run's own."""


@dataclass(frozen=True)
class Fate:
    """The fate of a spike in one branch.

    Args:
        outcome: its outcome.
        peak: the largest loss from the first step of the run's spike on, or of a spike of the
            branch that overlaps the run's.
        before: the number of spikes that begin and end before the run's spike.
        after: the number of spikes that begin after the run's spike.
        spikes: the number of all spikes that begin in the branch.
        height: the largest rise of a spike above its baseline, from the run's spike on.
    """

    outcome: Outcome
    peak: float
    before: int
    after: int
    spikes: int
    height: float


def judge(branches: Branches, run: SpikeDetector, spike: Spike) -> list[Fate]:
    """Judge each branch.

    Args:
        branches: the branches; the first has no intervention.
        run: the detector of the run's spikes, after the last step before the branches.
        spike: the run's spike.
    """
    found = _spikes(branches, run)
    end, at_spike = int(branches.diverged_at[0]) or None, spike.start - branches.first
    last = None if end is None else end - branches.first
    fates: list[Fate] = []
    for place, spikes in enumerate(found):
        here = [each for each in spikes if each.start <= spike.end and each.end >= spike.start]
        earlier = sum(branches.first <= each.start and each.end < spike.start for each in spikes)
        later = [each for each in spikes if spike.end < each.start < (end or np.inf)]
        highest = np.nanmax(branches.losses[at_spike:last, place], initial=-np.inf)
        begun = sum(each.start >= branches.first for each in spikes)
        peak = max([float(highest), *(each.loss for each in here)])
        height = max(map(_height, [*here, *later]), default=0.0)
        fate = Fate(Outcome.HAPPENS, peak, earlier, len(later), begun, height)
        own = fates[0] if fates else fate
        if (diverged := branches.diverged_at[place]) and (end is None or diverged < end):
            outcome = Outcome.DIVERGES
        elif here:
            high = max(map(_height, here)) >= WORSE * _height(spike)
            outcome = Outcome.WORSE if high else Outcome.HAPPENS
        elif earlier > own.before:
            outcome = Outcome.EARLIER
        else:
            delayed = fate.after > own.after or height > own.height or bool(diverged)
            outcome = Outcome.DELAYED if delayed else Outcome.PREVENTED
        fates.append(replace(fate, outcome=outcome))
    return fates


def _height(spike: Spike) -> float:
    return spike.loss - spike.median


def _spikes(branches: Branches, run: SpikeDetector) -> list[list[Spike]]:
    """Find the spikes of each branch and, before it, of the run."""
    replicas = range(branches.losses.shape[1])
    knobs = (each.repeat(len(replicas)) for each in (run.margin, run.deviations, run.initial_loss))
    detector = SpikeDetector(run.window, *knobs)
    for replica in replicas:
        detector.restore(replica, branches.first - 1, run.recent(0), run.spikes(0))
    detector.update(branches.losses)
    return [detector.spikes(replica) for replica in replicas]
