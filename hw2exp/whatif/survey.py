"""Try interventions at the moments of many runs, and write a table into each run's folder."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hw2exp.config.run_files import WHATIF
from hw2exp.diagnostics.spikes import running_median
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.torch_state import torch_as_known
from hw2exp.records.arms import Arm, Run
from hw2exp.records.moments import BRANCH, BRANCHES, MomentKind, asked_of, write_moments
from hw2exp.records.runs import read_runs
from hw2exp.records.spike import Spike
from hw2exp.runs.spike_request import check_made_again, on_cpu
from hw2exp.runs.start_state import beginning
from hw2exp.sweeps.executor import WorkerExecutor, available_cores
from hw2exp.system import disk
from hw2exp.system.problems import ConfigError, counted
from hw2exp.system.version import VERSION
from hw2exp.whatif.branches import Branches, make_again
from hw2exp.whatif.choices import Choice
from hw2exp.whatif.intervention import read_intervention
from hw2exp.whatif.moments import Moment, choose_spikes, quiet_moments
from hw2exp.whatif.trial import Trunk, chosen
from hw2exp.whatif.verdict import Fate


@dataclass(frozen=True)
class Survey:
    """A request: the interventions and the moments at which to try them.

    Args:
        dos: the interventions in words; by default those of :mod:`hw2exp.whatif.choices`.
        leads: the numbers of steps before a moment from which branches are trained.
        following: the number of steps that branches are followed after the moment.
        most: most spikes of a run.
        starts: the steps from which cures stay on.
        staying: the number of steps that they stay on.
    """

    dos: tuple[str, ...]
    leads: tuple[int, ...]
    following: int
    most: int
    starts: tuple[int, ...]
    staying: int

    def asked(self, run: Run) -> dict[str, str]:
        """Return the request to a run, by which a table is known as its answer."""
        words = {"asked": json.dumps(asdict(self)), "run": run.result.metrics_sha256}
        return words | {"hw2exp": VERSION}


def survey_folder(folder: Path, survey: Survey, tell: Callable[[str], None]) -> list[str]:
    """Survey all runs below a folder, in as many processes as there are cores.

    A run whose table answers the same request is left as it is.

    Args:
        folder: the folder of the runs.
        survey: the request.
        tell: a function that shows a line.

    Returns:
        A line for each reason why runs were left out.

    Raises:
        ConfigError: there are no runs, or an intervention applies to none.
        OSError: a table can't be written.
    """
    found = read_runs(folder)
    plans = [
        (run, own) for arm, own in _plans(found.arms, survey, tell) for run in arm.runs.values()
    ]
    waiting = [(run, own) for run, own in plans if not _is_answered(run, own)]
    ready, lost = len(plans) - len(waiting), list(found.lost)
    tell(f"{counted(len(waiting), 'run')} to survey" + f", {ready} as they are" * (ready > 0))
    with WorkerExecutor(max(1, min(available_cores(), len(waiting)))) as executor:
        tasks = {executor.submit(survey_run, *plan): plan[0] for plan in waiting}
        for number, task in enumerate(as_completed(tasks), ready + 1):
            name = tasks[task].folder.relative_to(folder)
            try:
                line = task.result()
            except ConfigError as error:
                line = "left out"
                lost += error.problems
            tell(f"{number:>{len(str(len(plans)))}} of {len(plans)}  {name}: {line}")
    return lost


def _plans(
    arms: Sequence[Arm], survey: Survey, tell: Callable[[str], None]
) -> list[tuple[Arm, Survey]]:
    """Return each arm with the interventions that apply to it; say which don't.

    Raises:
        ConfigError: an intervention applies to no arm.
    """
    problems: dict[str, list[str]] = {do: [] for do in survey.dos}
    plans = []
    for arm in arms:
        fleet = Fleet([on_cpu(arm.config)])
        own = []
        for do in survey.dos:
            try:
                read_intervention(do, fleet)
            except ConfigError as error:
                problems[do].append(f"{error.problems[0]} ({arm.name})")
            else:
                own.append(do)
        if own or not survey.dos:
            plans.append((arm, replace(survey, dos=tuple(own))))
    for lines in problems.values():
        if len(lines) == len(arms):
            raise ConfigError([f"--do: {lines[0]}"])
        for line in lines:
            tell(f"left out: {line}")
    return plans


def _is_answered(run: Run, survey: Survey) -> bool:
    there = asked_of(run.folder / WHATIF / BRANCHES)
    return there is not None and survey.asked(run).items() <= there.items()


def survey_run(run: Run, survey: Survey) -> str:
    """Try interventions at the moments of a run, write the table, and return a line about it.

    Args:
        run: the run.
        survey: the request.

    Raises:
        ConfigError: an intervention doesn't apply, or the steps made again are not the run's.
        OSError: the table can't be written.
    """
    import polars

    with torch_as_known():
        rows = list(_rows(run, survey))
    table = polars.DataFrame(rows, schema=BRANCH, orient="row")
    disk.make_folder(run.folder / WHATIF)
    write_moments(run.folder / WHATIF / BRANCHES, table, survey.asked(run))
    count = table.select("moment", "number", "start").unique()["moment"].value_counts(name="n")
    kinds = {str(kind): n for kind, n in count.rows()}
    return ", ".join(counted(kinds.get(kind, 0), f"{kind} moment") for kind in ("spike", "quiet"))


def _rows(run: Run, survey: Survey) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a run's table."""
    config = on_cpu(run.config)
    choices, interventions, _ = chosen(Fleet([config]), survey.dos)
    spikes = [Spike.of(each) for each in run.result.spikes]
    start = beginning(config)
    losses = make_again(config, start, [], config.steps).losses
    check_made_again(run.folder, spikes, dict(enumerate(map(float, losses), 1)))
    moments = _moments(run, survey, spikes, losses)
    firsts = {each.spike.start - lead for each in moments for lead in _leads(each, survey)}
    again = make_again(config, start, firsts, config.steps)
    trunk = Trunk(run.folder, config, run.result.initial["loss"], again)
    lasting = [0] + [n for n, each in enumerate(interventions) if each.stays_on(config)]
    for moment in moments:
        steps = moment.kind is MomentKind.STEP
        places = lasting if steps else list(range(len(choices)))
        own = [interventions[place] for place in places]
        following = survey.staying - 1 if steps else survey.following
        last = min(moment.spike.end + following, config.steps)
        for lead in _leads(moment, survey):
            made = trunk.branch(own, moment.spike, moment.spike.start - lead, last)
            named = [choices[place] for place in places]
            yield from _of_moment(moment, lead, named, *made, config.solved_accuracy)


def _moments(run: Run, survey: Survey, spikes: Sequence[Spike], losses: Any) -> list[Moment]:
    """Return the moments of a run: spikes, quiet ones, and steps."""
    window, seed = run.config.spikes.window, run.config.seed
    numbers = choose_spikes(spikes, survey.leads, survey.most, seed)
    quiet = quiet_moments(
        losses[: run.result.step], spikes, numbers, max(survey.leads), window, seed
    )
    medians = running_median(losses[:, None], window)[:, 0]
    plain = [
        Moment(MomentKind.STEP, 0, Spike(step, step, step, np.nan, medians[step - 1], False))
        for step in survey.starts
        if step < run.result.step
    ]
    return [*(Moment(MomentKind.SPIKE, n, spikes[n - 1]) for n in numbers), *quiet, *plain]


def _leads(moment: Moment, survey: Survey) -> list[int]:
    if moment.kind is MomentKind.STEP:
        return [0]
    return [lead for lead in survey.leads if lead < moment.spike.start]


def _of_moment(
    moment: Moment,
    lead: int,
    choices: Sequence[Choice],
    branches: Branches,
    fates: Sequence[Fate],
    solved: float,
) -> Iterator[tuple[Any, ...]]:
    """Yield a row of the table, see ``BRANCH``, for each intervention."""
    spike = moment.spike
    for place, (choice, fate) in enumerate(zip(choices, fates, strict=True)):
        accuracy = float(branches.test_accuracy[place])
        yield (
            str(moment.kind), moment.number, spike.start, spike.end, spike.median, lead,
            choice.do, str(choice.kind), str(fate.outcome), fate.outcome.happens,
            fate.spikes, int(np.isfinite(branches.losses[:, place]).sum()),
            bool(branches.diverged_at[place]), float(branches.test_loss[place]), accuracy,
            accuracy >= solved,
        )  # fmt: skip
