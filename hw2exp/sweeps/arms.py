"""The table at a sweep's end: an arm is all jobs that differ in nothing but the seed."""

import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hw2exp.fleet_run import Outcome
from hw2exp.records.run_dir import RunResult
from hw2exp.terminal import relative, say

if TYPE_CHECKING:
    from rich.table import Table

Overrides = Sequence[str]


def arms_of(jobs: Sequence[Overrides]) -> dict[str, list[int]]:
    """Gather jobs into arms.

    Args:
        jobs: each job's overrides, as typed.

    Returns:
        The jobs of each arm by their places; by what tells the arm from others.
    """
    unlike_seed = [[line for line in job if line.split("=")[0] != "seed"] for job in jobs]
    common = set.intersection(*map(set, unlike_seed)) if unlike_seed else set()
    arms: dict[str, list[int]] = {}
    for place, lines in enumerate(unlike_seed):
        name = " ".join(line for line in lines if line not in common) or "all"
        arms.setdefault(name, []).append(place)
    return arms


def arms_table(jobs: Sequence[Overrides], outcomes: Sequence[Outcome]) -> "Table":
    """Sum up a sweep: counts, and median with quartiles, of each arm.

    Args:
        jobs: each job's overrides, as typed.
        outcomes: what became of each.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title_justify="left")
    headings = ("arm", "runs", "solved", "diverged", "failed", "test loss", "accuracy", "spikes")
    for heading in headings:
        first = heading == "arm"
        table.add_column(heading, justify="left" if first else "right", no_wrap=not first)
    for name, places in arms_of(jobs).items():
        own = [outcomes[place] for place in places]
        results = [outcome for outcome in own if isinstance(outcome, RunResult)]
        table.add_row(
            name,
            str(len(own)),
            str(sum(result.solved_at is not None for result in results)),
            str(sum(result.diverged_at is not None for result in results)),
            str(len(own) - len(results)),
            _median([result.final["test_loss"] for result in results]),
            _median([result.final["test_accuracy"] for result in results]),
            _median([float(len(result.spikes)) for result in results]),
        )
    return table


def print_sweep(jobs: Sequence[Overrides], outcomes: Sequence[Outcome], folder: Path) -> None:
    """Say how a sweep ended, and where to look.

    Args:
        jobs: each job's overrides, as typed.
        outcomes: what became of each.
        folder: the sweep's folder.
    """
    from rich.console import Console

    text = StringIO()
    width = Console().width if sys.stdout.isatty() else 120
    Console(file=text, width=width).print(arms_table(jobs, outcomes))
    say(
        f"{text.getvalue()}  look at   {relative(folder)}/\n"
        f"  or run    tensorboard --logdir {relative(folder)}"
    )


def _median(values: Sequence[float | None]) -> str:
    """The median, and the quartiles where they differ from it; what diverged counts as infinite."""
    known = [np.inf if value is None or np.isnan(value) else value for value in values]
    if not known:
        return "–"
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75], method="inverted_cdf")
    return f"{middle:.3g}" if low == high else f"{middle:.3g} [{low:.3g}, {high:.3g}]"
