"""Try interventions at the moments of many runs, and write a table into each run's folder."""

from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

from hw2exp.config.run_files import WHATIF
from hw2exp.fleet.fleet import Fleet
from hw2exp.records.arms import Arm, Run
from hw2exp.records.moments import (
    BRANCHES_FILE,
    SIGNALS_FILE,
    asked_of,
)
from hw2exp.records.runs import read_runs
from hw2exp.runs.spike_request import on_cpu
from hw2exp.sweeps.executor import WorkerDied, WorkerExecutor, available_cores
from hw2exp.system.problems import ConfigError, counted
from hw2exp.whatif.intervention import read_intervention
from hw2exp.whatif.survey_run import Survey, survey_run

Row = tuple[Any, ...]


def survey_folder(folder: Path, survey: Survey, tell: Callable[[str], None]) -> list[str]:
    """Survey all runs below a folder, in as many processes as there are cores.

    A run whose table answers the same request is left as it is.

    Args:
        folder: the folder of the runs.
        survey: the request.
        tell: the function that receives lines about progress.

    Returns:
        A line for each reason why runs were left out.

    Raises:
        ConfigError: there are no runs, or an intervention applies to none.
        OSError: a table can't be written.
    """
    found = read_runs(folder)
    every = [
        (run, own) for arm, own in _plans(found.arms, survey, tell) for run in arm.runs.values()
    ]
    plans = [(run, own) for run, own in every if run.packed is None]
    waiting = [(run, own) for run, own in plans if not _is_answered(run, own)]
    ready, lost = len(plans) - len(waiting), list(found.lost)
    if packed := len(every) - len(plans):
        hint = "python -m hw2exp.extract writes their folders"
        lost.append(f"{counted(packed, 'run')} left out: packed; {hint}")
    tell(f"{counted(len(waiting), 'run')} to survey" + f", {ready} as they are" * (ready > 0))
    with WorkerExecutor(max(1, min(available_cores(), len(waiting)))) as executor:
        tasks = {executor.submit(survey_run, *plan): plan[0] for plan in waiting}
        for number, task in enumerate(as_completed(tasks), ready + 1):
            name = tasks[task].folder.relative_to(folder)
            try:
                line = task.result()
            except (ConfigError, WorkerDied) as error:
                line = "left out"
                died = [f"{tasks[task].folder}: {error}"]
                lost += error.problems if isinstance(error, ConfigError) else died
            tell(f"{number:>{len(str(len(plans)))}} of {len(plans)}  {name}: {line}")
    return lost


def _plans(
    arms: Sequence[Arm], survey: Survey, tell: Callable[[str], None]
) -> list[tuple[Arm, Survey]]:
    """Return each arm with the interventions that apply to it; tell which don't.

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
    """Return whether both tables of a run answer a request."""
    tables = [asked_of(run.folder / WHATIF / name) for name in (SIGNALS_FILE, BRANCHES_FILE)]
    return all(own is not None and survey.asked(run).items() <= own.items() for own in tables)
