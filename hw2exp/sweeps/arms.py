"""Print the table at a sweep's end, with a row for each arm."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import filterfalse
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from hw2exp.config.run_files import ARMS
from hw2exp.diagnostics.statistics import spread
from hw2exp.records.arm_names import Settings
from hw2exp.records.arms import by_arm, settings_of_arm
from hw2exp.records.run_dir import RunResult
from hw2exp.runs.fleet_run import Outcome
from hw2exp.runs.summary import resume_word
from hw2exp.sweeps.job_outcome import JobOutcome
from hw2exp.system.problems import ConfigError
from hw2exp.system.terminal import echo, on_terminal, relative, typed

if TYPE_CHECKING:
    from rich.table import Table

ROOMY = 100
"""Least width, in characters, of a table with quartiles."""

RARE = "diverged", "pruned", "missing"
"""Columns that a table leaves out where all arms have 0."""

SHOWN = 40
"""Most arms of a table in the terminal; for more arms, the report's command is printed."""


@dataclass(frozen=True)
class SweptArm:
    """An arm of a sweep: jobs that differ only in the seed.

    Args:
        name: the typed overrides that distinguish the arm; ``all`` if there is only one arm.
        typed: all typed overrides that the jobs share.
        jobs: the jobs.
    """

    name: str
    typed: str
    jobs: Sequence[JobOutcome]

    @property
    def outcomes(self) -> list[Outcome]:
        """Return the jobs' outcomes."""
        return [each.outcome for each in self.jobs]


def arms_of(jobs: Sequence[JobOutcome]) -> list[SweptArm]:
    """Gather jobs into arms."""
    arms = by_arm(jobs, _settings)
    typed = [_shared(arm) for arm in arms]
    common = set.intersection(*map(set, typed)) if typed else set()
    names = [" ".join(line for line in lines if line not in common) or "all" for lines in typed]
    return [SweptArm(*each) for each in zip(names, map(" ".join, typed), arms, strict=True)]


def _settings(each: JobOutcome) -> Settings:
    """Return the settings of a job's arm, or its overrides if a sweeper made invalid values."""
    try:
        return settings_of_arm(each.job.config)
    except ConfigError:
        return dict.fromkeys(filterfalse(_is_seed, each.job.overrides))


def _shared(jobs: Sequence[JobOutcome]) -> list[str]:
    """Return the typed overrides that all jobs of an arm share, except for the seed."""
    shared = set.intersection(*(set(each.job.overrides) for each in jobs))
    return [line for line in jobs[0].job.overrides if line in shared and not _is_seed(line)]


def _is_seed(override: str) -> bool:
    return override.lstrip("+").split("=")[0] == "seed"


def arms_table(arms: Sequence[SweptArm], width: int) -> "Table":
    """Sum up a sweep: each arm's counts, medians and quartiles.

    Args:
        arms: the arms.
        width: the width of the terminal, in characters; below ``ROOMY`` quartiles are left out.
    """
    from rich.table import Table

    roomy = width >= ROOMY
    rows = [summary(arm.outcomes, quartiles=roomy) for arm in arms]
    table = Table(box=None, pad_edge=False, padding=(0, 1) if roomy else (0, 1, 0, 0))
    table.add_column("arm", min_width=14, overflow="fold")
    columns = [
        heading
        for heading in rows[0]
        if heading not in RARE or any(row[heading] != "0" for row in rows)
    ]
    for heading in columns:
        label = heading if roomy else heading.replace("ends solved", "at\nend")
        table.add_column(label, justify="right", no_wrap=True)
    for arm, row in zip(arms, rows, strict=True):
        table.add_row(arm.name, *(row[heading] for heading in columns))
    return table


def summary(outcomes: Sequence[Outcome], quartiles: bool) -> dict[str, str]:
    """Return an arm's cells by heading; an interrupted run counts as missing.

    A pruned run counts as pruned and in no other cell, because it ended before the others.

    Args:
        outcomes: the outcomes of the arm's jobs.
        quartiles: whether cells with medians have quartiles too.
    """
    every = [outcome for outcome in outcomes if ended(outcome)]
    results = [result for result in every if result.pruned_at is None]
    return {
        "runs": str(len(outcomes)),
        "solved": str(sum(result.solved_at is not None for result in results)),
        "ends solved": _ending_solved(results),
        "diverged": str(sum(result.diverged_at is not None for result in results)),
        "pruned": str(len(every) - len(results)),
        "missing": str(len(outcomes) - len(every)),
        "test loss": spread([result.final_or("test_loss", inf) for result in results], quartiles),
        "accuracy": spread([result.final_or("test_accuracy", 0) for result in results], quartiles),
        "spikes": spread([len(result.spikes) for result in results], quartiles),
    }


def _ending_solved(results: Sequence[RunResult]) -> str:
    """Return the number of runs that end solved; a dash if an older result doesn't record it."""
    known = [result.ends_solved for result in results]
    return "–" if None in known else str(sum(map(bool, known)))


def ended(outcome: Outcome) -> TypeGuard[RunResult]:
    """Return whether a run has a result and was not interrupted."""
    return isinstance(outcome, RunResult) and outcome.status != "interrupted"


def print_sweep(jobs: Sequence[JobOutcome], folder: Path) -> None:
    """Print the table of a sweep, and the commands to look at or resume it."""
    arms = arms_of(jobs)
    lines = [
        table_text(arms, folder),
        f"  look at   {relative(folder)}/",
        f"  or run    tensorboard --logdir {typed(folder)}",
    ]
    if any(sum(map(ended, arm.outcomes)) > 1 for arm in arms):
        lines[-1] = (  # by default TensorBoard doesn't show all runs at once
            f"  or run    tensorboard --logdir {typed(folder / ARMS)}\n"
            f"  or        tensorboard --logdir {typed(folder)}\n"
            "            which has every run, and HParams"
        )
    if not all(ended(job.outcome) for job in jobs):
        lines.append(f"  resume    the same command with {resume_word(folder)}")
    echo("\n".join(lines))


CELLS = "  cells     medians over runs, [quartiles]; a diverged run counts as loss ∞, accuracy 0"
"""The line below a table of arms, if an arm has several runs."""


def table_text(arms: Sequence[SweptArm], folder: Path) -> str:
    """Return the table of arms as text; for more than ``SHOWN`` arms, the report's command.

    A line below explains the cells. Another says so if the runs of some arms have too few tests to
    solve their task.

    Args:
        arms: the arms.
        folder: the folder of the sweep.
    """
    from rich.console import Console

    if len(arms) > SHOWN:
        return f"{len(arms)} arms, in a table by python -m hw2exp.report {typed(folder)}"
    run = [arm.jobs[0].job.config for arm in arms if any(map(ended, arm.outcomes))]
    few = dict.fromkeys(filter(None, [config.too_few_tests for config in run]))
    text = StringIO()
    width = Console().width if on_terminal() else 120
    table = arms_table(arms, width)
    Console(file=text, width=width, force_jupyter=False, force_terminal=False).print(table)
    lines = [text.getvalue().removesuffix("\n")]
    if any(sum(map(ended, arm.outcomes)) > 1 for arm in arms):
        lines.append(CELLS)
    return "\n".join([*lines, *(f"  solved    no: {why}" for why in few)])
