"""What became of a spike is read from the branch's own curve, by the bench's own definition."""

import numpy as np
import pytest

from hw2exp.diagnostics.spikes import SpikeDetector, find_spikes
from hw2exp.records.moments import Outcome
from hw2exp.whatif.branches import Branches
from hw2exp.whatif.verdict import judge

FIRST, START, LAST = 41, 51, 90


def curve(**spikes):
    """A loss of 1, but for the steps named ``at_…``."""
    losses = np.ones(LAST)
    for name, loss in spikes.items():
        losses[int(name.removeprefix("at_")) - 1] = loss
    return losses


RUN = curve(at_51=3, at_53=2, at_80=2)  # one spike from 51 to 53, another at 80


def detector(before):
    """The detector of spikes, after the run's losses before the branches."""
    found = SpikeDetector(11, *(np.array([value]) for value in (0.3, 0.0, 2.0)))
    found.update(before[:, None])
    return found


def judged(*curves):
    losses = np.stack([RUN, *curves])[:, FIRST - 1 :].T
    diverged = np.array([0.0, *(np.isnan(own).any() for own in curves)])
    unknown = np.full(len(diverged), np.nan)
    branches = Branches(FIRST, losses, diverged, unknown, unknown)
    spike = find_spikes(RUN, 11, 0.3, 0.0, 2.0)[0]
    assert (spike.start, spike.end, spike.loss) == (START, 53, 3)
    return judge(branches, detector(RUN[: FIRST - 1]), spike)


def test_the_run_itself_has_its_spike():
    (fate,) = judged()
    assert (fate.outcome, fate.peak, fate.before, fate.after) == (Outcome.HAPPENS, 3, 0, 1)


@pytest.mark.parametrize(
    ("spikes", "outcome"),
    [
        ({}, Outcome.PREVENTED),
        ({"at_51": 1.29, "at_80": 2}, Outcome.PREVENTED),  # below the margin
        ({"at_85": 2.9}, Outcome.PREVENTED),  # as many afterwards as in the run
        ({"at_85": 9}, Outcome.DELAYED),  # as many, but a higher one
        ({"at_54": 3, "at_80": 2}, Outcome.DELAYED),
        ({"at_45": 3, "at_80": 2}, Outcome.EARLIER),
        ({"at_53": 1.5}, Outcome.HAPPENS),  # at its last step
        ({"at_49": 2, "at_52": 2}, Outcome.HAPPENS),  # begins before, ends within
        ({"at_51": 4.9}, Outcome.HAPPENS),
        ({"at_51": 5.1}, Outcome.WORSE),
        ({"at_51": 3, "at_60": np.nan}, Outcome.DIVERGES),
    ],
)
def test_each_outcome(spikes, outcome):
    assert judged(curve(**spikes))[1].outcome is outcome


@pytest.mark.parametrize(
    ("at", "outcome"), [(48, Outcome.DIVERGES), (70, Outcome.DELAYED), (None, Outcome.PREVENTED)]
)
def test_a_run_that_diverges_is_compared_up_to_there(at, outcome):
    """A branch may diverge earlier; later spikes are of steps that the run never made."""
    run, branch = curve(at_51=3), curve(at_75=9)
    run[69:] = np.nan  # from step 70 on
    ends = np.array([70.0, at or 0])
    if at:
        branch[at - 1 :] = np.nan
    unknown, spike = np.full(2, np.nan), find_spikes(RUN, 11, 0.3, 0.0, 2.0)[0]
    losses = np.stack([run, branch])[:, FIRST - 1 :].T
    branches = Branches(FIRST, losses, ends, unknown, unknown)
    assert judge(branches, detector(run[: FIRST - 1]), spike)[1].outcome is outcome


def test_the_baseline_is_that_of_the_run_before_the_branch():
    """The same branch is no spike where the run's losses before it are as high."""
    high, spike = np.full((FIRST - 1,), 3.0), find_spikes(RUN, 11, 0.3, 0.0, 2.0)[0]
    losses = np.full((LAST - FIRST + 1, 1), 3.0)
    none = np.zeros(1)
    branches = Branches(FIRST, losses, none, none, none)
    assert judge(branches, detector(high), spike)[0].outcome is Outcome.PREVENTED
    low = np.ones(FIRST - 1)
    assert judge(branches, detector(low), spike)[0].before == 1
