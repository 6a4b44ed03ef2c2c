"""Try interventions on a spike of a run: train the branches, check them, and judge them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.spikes import SpikeDetector
from hw2exp.diagnostics.statistics import Floats
from hw2exp.fleet.fleet import Fleet
from hw2exp.records.moments import NOTHING, Family
from hw2exp.records.spike import Spike
from hw2exp.runs.spike_request import OTHER_RUN, Request
from hw2exp.runs.start_state import nearest
from hw2exp.system.problems import ConfigError
from hw2exp.whatif.branches import Branches, MadeAgain, follow, make_again
from hw2exp.whatif.choices import NOISE, Candidate, shipped
from hw2exp.whatif.intervention import Intervention, nothing, read_intervention
from hw2exp.whatif.verdict import Fate, judge

NUMBER = re.compile(r"(?<=[=*~])[-+.\deE]+")
"""A dose in the words of an intervention; interventions that differ in doses are of one family."""

ITSELF = Candidate(NOTHING, Family.PLACEBO, "the run itself")
"""The branch without an intervention, the first of each lead."""


@dataclass(frozen=True)
class Tried:
    """The outcomes of all interventions on a spike, from each lead.

    Args:
        request: the run and its spike.
        choices: the interventions, ``ITSELF`` first.
        left_out: lines on those that don't apply to the run.
        losses: the run's loss of each step from 1 to the last that is followed, NaN where it was
            not made again, ``(n,)``.
        branches: by lead, one branch for each intervention.
        fates: by lead, the fate of the spike in each of these branches.
    """

    request: Request
    choices: Sequence[Candidate]
    left_out: Sequence[str]
    losses: Floats
    branches: dict[int, Branches]
    fates: dict[int, list[Fate]]

    @property
    def spike(self) -> Spike:
        """Return the run's spike."""
        return self.request.spike


@dataclass(frozen=True)
class Trunk:
    """A run made again, from which branches are trained.

    Args:
        folder: the run's folder.
        config: its config.
        initial: its loss before training.
        again: its losses, and its states before some steps.
    """

    folder: Path
    config: TrainConfig
    initial: float
    again: MadeAgain

    def branch(
        self, interventions: Sequence[Intervention], spike: Spike, first: int, last: int
    ) -> tuple[Branches, list[Fate]]:
        """Train branches from one step on, check the one without an intervention, and judge all.

        Args:
            interventions: the interventions; the first changes nothing.
            spike: the spike, or another stretch of steps, to judge.
            first: the step before which they branch off; its state is kept.
            last: the last step to follow.

        Raises:
            ConfigError: the branch without an intervention is not the run.
        """
        state, steps = self.again.states[first], range(first, last + 1)
        made = follow(self.config, state, interventions, steps, spike.start)
        self._check_own(made, self.again.losses[first - 1 : last])
        return made, judge(made, self._detector(first), spike)

    def _detector(self, first: int) -> SpikeDetector:
        """Return the detector of the run's spikes, after the last step before ``first``."""
        knobs, start = self.config.spikes, self.again.start
        numbers = (np.array([x]) for x in (knobs.margin, knobs.deviations, self.initial))
        detector = SpikeDetector(knobs.window, *numbers)
        detector.restore(0, start.made, start.recent, start.spikes)
        detector.update(self.again.losses[start.made : first - 1, None])
        return detector

    def _check_own(self, branches: Branches, losses: Floats) -> None:
        """Check that the branch without an intervention equals the run, bit for bit."""
        branch = branches.losses[:, 0]
        parts = np.flatnonzero(~((branch == losses) | (np.isnan(branch) & np.isnan(losses))))
        if len(parts):
            step = branches.first + int(parts[0])
            other = f"{branch[parts[0]]!r}, not {losses[parts[0]]!r}"
            where = f"from step {branches.first} on, without an intervention, step {step}"
            raise ConfigError([f"{self.folder}: {where} has a loss of {other}; {OTHER_RUN}"])


def try_all(
    request: Request,
    dos: Sequence[str],
    leads: Sequence[int],
    following: int,
    tell: Callable[[str], None],
) -> Tried:
    """Train all branches of a spike, and judge them.

    Args:
        request: the run and its spike.
        dos: the interventions in words; by default those of :mod:`hw2exp.whatif.choices`.
        leads: the numbers of steps before the spike from which branches are trained.
        following: the number of steps that branches are followed after the spike.
        tell: the function that receives a line before the work begins.

    Raises:
        ConfigError: an intervention doesn't apply, or the steps made again are not the run's.
    """
    config, spike = request.config, request.spike
    choices, interventions, left_out = chosen(Fleet([config]), dos)
    last = min(spike.end + following, config.steps)
    firsts = {lead: spike.start - lead for lead in leads if lead < spike.start}
    if not firsts:
        raise ConfigError([f"--leads: must be less than {spike.start}, the spike's first step"])
    count = len(interventions) * len(firsts)
    start = nearest(request.folder, config, min(firsts.values()))
    where = f"from step {start.made + 1:,} " * (start.made > 0)
    tell(f"training again {where}to step {last:,}, and {count} branches of it")
    again = make_again(config, start, firsts.values(), last)
    losses = enumerate(map(float, again.losses[start.made :]), start.made + 1)
    request.check_made_again(dict(losses))
    trunk = Trunk(request.folder, config, request.result.initial["loss"], again)
    branches, fates = {}, {}
    for lead, first in firsts.items():
        branches[lead], fates[lead] = trunk.branch(interventions, spike, first, last)
    return Tried(request, choices, left_out, again.losses, branches, fates)


def chosen(run: Fleet, dos: Sequence[str]) -> tuple[list[Candidate], list[Intervention], list[str]]:
    """Return the interventions to try, the one that changes nothing first, and those left out.

    Args:
        run: a fleet of the run alone.
        dos: the interventions in words; by default those of :mod:`hw2exp.whatif.choices`.

    Raises:
        ConfigError: an intervention that was asked for doesn't apply.
    """
    choices, interventions = [ITSELF], [nothing(run.config)]
    listed, left_out = shipped(run)
    known = {choice.do: choice for choice in listed}
    kinds = {NUMBER.sub("", choice.do): choice.kind for choice in reversed(listed)}
    asked = {
        do: known.get(do) or Candidate(do, kinds.get(NUMBER.sub("", do), Family.OWN)) for do in dos
    }
    if asked:
        listed, left_out = list((asked | {each.do: each for each in NOISE}).values()), []
    for choice in listed:
        try:
            interventions.append(read_intervention(choice.do, run))
        except ConfigError as error:
            if choice.do in asked:
                raise ConfigError(f"--do: {problem}" for problem in error.problems) from error
            left_out += error.problems
        else:
            choices.append(choice)
    return choices, interventions, left_out
