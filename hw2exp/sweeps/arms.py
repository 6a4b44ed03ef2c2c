"""Print the table at a sweep's end; an arm is all jobs that differ only in the seed."""

from collections.abc import Sequence
from io import StringIO
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from hw2exp.records.run_dir import RunResult
from hw2exp.runs.fleet_run import Outcome
from hw2exp.runs.summary import resume_word, spread
from hw2exp.system.terminal import echo, on_terminal, relative, typed

if TYPE_CHECKING:
    from rich.table import Table

Overrides = Sequence[str]

ROOMY = 100
"""Least width, in characters, of a table with quartiles."""

ARMS = "arms"
"""The subfolder of a sweep that holds a TensorBoard folder for each arm."""

SHOWN = 40
"""Most arms of a table in the terminal; for more, print the command of the report."""


def arms_of(jobs: Sequence[Overrides]) -> dict[str, list[int]]:
    """Gather jobs into arms.

    Args:
        jobs: each job's overrides, as typed.

    Returns:
        The indices of each arm's jobs, by the overrides that distinguish the arm.
    """
    unlike_seed = [[line for line in job if not is_seed(line)] for job in jobs]
    common = set.intersection(*map(set, unlike_seed)) if unlike_seed else set()
    arms: dict[str, list[int]] = {}
    for place, lines in enumerate(unlike_seed):
        name = " ".join(line for line in lines if line not in common) or "all"
        arms.setdefault(name, []).append(place)
    return arms


def is_seed(override: str) -> bool:
    """Return whether an override sets the seed.

    Args:
        override: the override as typed.
    """
    return override.lstrip("+").split("=")[0] == "seed"


def arms_table(jobs: Sequence[Overrides], outcomes: Sequence[Outcome], width: int) -> "Table":
    """Sum up a sweep: each arm's counts, medians and quartiles.

    Args:
        jobs: each job's overrides, as typed.
        outcomes: each job's outcome.
        width: the width of the terminal, in characters; below ``ROOMY`` quartiles are left out.
    """
    from rich.table import Table

    rows = {
        name: summary([outcomes[place] for place in places], quartiles=width >= ROOMY)
        for name, places in arms_of(jobs).items()
    }
    roomy = width >= ROOMY
    table = Table(box=None, pad_edge=False, padding=(0, 1) if roomy else (0, 1, 0, 0))
    table.add_column("arm", min_width=14, overflow="fold")
    columns = [
        heading
        for heading in next(iter(rows.values()))
        if heading not in ("diverged", "missing")
        or any(row[heading] != "0" for row in rows.values())
    ]
    for heading in columns:
        label = heading if roomy else heading.replace("ends solved", "at\nend")
        table.add_column(label, justify="right", no_wrap=True)
    for name, row in rows.items():
        table.add_row(name, *(row[heading] for heading in columns))
    return table


def summary(outcomes: Sequence[Outcome], quartiles: bool) -> dict[str, str]:
    """Return an arm's cells by heading; an interrupted run counts as missing.

    Args:
        outcomes: the outcomes of the arm's runs.
        quartiles: whether to add quartiles to the medians.
    """
    results = [outcome for outcome in outcomes if ended(outcome)]
    return {
        "runs": str(len(outcomes)),
        "solved": str(sum(result.solved_at is not None for result in results)),
        "ends solved": _ending_solved(results),
        "diverged": str(sum(result.diverged_at is not None for result in results)),
        "missing": str(len(outcomes) - len(results)),
        "test loss": spread([result.final_or("test_loss", inf) for result in results], quartiles),
        "accuracy": spread([result.final_or("test_accuracy", 0) for result in results], quartiles),
        "spikes": spread([len(result.spikes) for result in results], quartiles),
    }


def _ending_solved(results: Sequence[RunResult]) -> str:
    """Return the number of runs that end solved; a dash if an older result doesn't record it."""
    known = [result.ends_solved for result in results]
    return "–" if None in known else str(sum(map(bool, known)))


def ended(outcome: Outcome) -> TypeGuard[RunResult]:
    """Return whether a run has a result and was not interrupted.

    Args:
        outcome: the run's outcome.
    """
    return isinstance(outcome, RunResult) and outcome.status != "interrupted"


def print_sweep(jobs: Sequence[Overrides], outcomes: Sequence[Outcome], folder: Path) -> None:
    """Print the table of a sweep, and the commands to look at or resume it.

    Args:
        jobs: each job's overrides, as typed.
        outcomes: each job's outcome.
        folder: the sweep's folder.
    """
    from rich.console import Console

    text = StringIO()
    width = Console().width if on_terminal() else 120
    members = arms_of(jobs).values()
    arms = len(members)
    if arms <= SHOWN:
        table = arms_table(jobs, outcomes, width)
        Console(file=text, width=width, force_jupyter=False, force_terminal=False).print(table)
    else:
        text.write(f"{arms} arms, in a table by python -m hw2exp.report {typed(folder)}\n")
    lines = [
        f"{text.getvalue()}  look at   {relative(folder)}/",
        f"  or run    tensorboard --logdir {typed(folder)}",
    ]
    if any(sum(ended(outcomes[place]) for place in places) > 1 for places in members):
        lines[-1] = (  # by default TensorBoard doesn't show all runs at once
            f"  or run    tensorboard --logdir {typed(folder / ARMS)}\n"
            f"            or --logdir {typed(folder)}, which has every run, and HParams"
        )
    if not all(map(ended, outcomes)):
        lines.append(f"  resume    the same command with {resume_word(folder)}")
    echo("\n".join(lines))
