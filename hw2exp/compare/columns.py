"""Read folders into the columns of a comparison: a column is one run, or several together."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from hw2exp.config.folder import check_there
from hw2exp.records.arms import Run, gather
from hw2exp.records.run_dir import RunResult
from hw2exp.records.runs import runs_below, without_code
from hw2exp.system.problems import ConfigError, counted
from hw2exp.system.terminal import relative

if TYPE_CHECKING:
    import polars

T = TypeVar("T")

MOST = 12
"""Most columns into which one folder is divided, by its runs or its arms."""

MOST_NOTES = 10
"""Most unreadable runs of a folder that have a line each; further ones are only counted."""


@dataclass(frozen=True)
class ComparedRun:
    """A run and the largest norms in its metrics.

    Args:
        run: the run.
        grad_norm: the largest gradient norm, if any was measured.
        update_norm: the largest norm of a parameter update, if any was measured.
    """

    run: Run
    grad_norm: float | None
    update_norm: float | None

    @property
    def result(self) -> RunResult:
        """Return the run's result."""
        return self.run.result


@dataclass(frozen=True)
class Column:
    """A column of the comparison.

    Args:
        mark: the heading, a letter or a number.
        name: the folder, or the settings that tell an arm from the others.
        members: the column's runs.
    """

    mark: str
    name: str
    members: Sequence[ComparedRun]

    @property
    def alone(self) -> ComparedRun | None:
        """Return the run of a column with one run; else None."""
        return self.members[0] if len(self.members) == 1 else None


@dataclass(frozen=True)
class Columns:
    """The columns of a comparison, and notes on the runs left out.

    Args:
        columns: at least one; together they hold two or more runs.
        notes: lines about the runs and folders left out, and about arms that share a column.
        lost: the number of folders that could not be read, or hold no run.
    """

    columns: Sequence[Column]
    notes: Sequence[str]
    lost: int


def read_columns(folders: Sequence[Path]) -> Columns:
    """Read folders of runs or sweeps into columns.

    Each folder is a column. A single folder has a column for each run if there are at most
    ``MOST`` runs, else a column for each arm if there are at most ``MOST`` arms.

    Raises:
        ConfigError: a folder doesn't exist, or fewer than two runs can be read.
    """
    for folder in folders:
        check_there(folder, str(folder))
    notes: list[str] = []
    read = {str(folder): _read_below(folder, notes) for folder in folders}  # each folder once
    found = {name: compared for name, (compared, _) in read.items()}
    named: list[tuple[str, Sequence[ComparedRun]]]
    if len(folders) == 1:
        named = _divided(folders[0], found[str(folders[0])], notes)
    else:
        named = [(str(folder), found[str(folder)]) for folder in folders if found[str(folder)]]
    runs = sum(len(members) for _, members in named)
    if runs < 2:
        there = "only one run" if runs else "no run that can be read"
        raise ConfigError([*notes[:1], f"{there}; a comparison needs two or more"])
    marks = ascii_uppercase if len(named) <= len(ascii_uppercase) else map(str, range(1, 1 + runs))
    columns = [Column(mark, *each) for mark, each in zip(marks, named, strict=False)]
    return Columns(columns, notes, sum(lost for _, lost in read.values()))


def _divided(
    folder: Path, members: Sequence[ComparedRun], notes: list[str]
) -> list[tuple[str, Sequence[ComparedRun]]]:
    """Divide the runs of a single folder into named columns."""
    if len(members) <= MOST:  # may be zero
        return [(str(relative(each.run.folder)), [each]) for each in members]
    by_folder = {each.run.folder: each for each in members}
    arms, repeated = gather(each.run for each in members)
    if not 1 < len(arms) <= MOST:
        if len(arms) > MOST:
            notes.append(
                f"{folder}: {len(arms)} arms in one column, as they are more than {MOST}; "
                "python -m hw2exp.report tells them apart"
            )
        return [(str(folder), members)]
    if repeated:
        notes.append(
            f"{folder}: {counted(repeated, 'run')} left out: another has its settings and seed"
        )
    return [(arm.name, [by_folder[run.folder] for run in arm.runs.values()]) for arm in arms]


def _read_below(folder: Path, notes: list[str]) -> tuple[list[ComparedRun], int]:
    """Return the readable runs below a folder, and the number of others; add these to ``notes``."""
    return _each_below(folder, notes, _compared, _compared)


def read_runs_below(folder: Path, notes: list[str]) -> tuple[list[Run], int]:
    """Return the runs below a folder that came to their end, and the number of others.

    Args:
        folder: the folder.
        notes: the list to which a line on each other run is added.
    """
    whole = _each_below(folder, notes, _ended, lambda run: run)  # packed records are checked whole
    found = [run for run in whole[0] if run.result.pruned_at is None]
    if pruned := len(whole[0]) - len(found):
        notes.append(f"{folder}: {counted(pruned, 'run')} left out: pruned before the end")
    return found, whole[1]


def _each_below(
    folder: Path, notes: list[str], use: Callable[[Run], T], use_packed: Callable[[Run], T]
) -> tuple[list[T], int]:
    """Read each run below a folder; return a result for each, and the number of unreadable runs.

    Args:
        folder: the folder.
        notes: the list to which lines on unreadable runs are added.
        use: the function that returns the result of a run that has a folder.
        use_packed: the function that returns the result of a run in packed records.
    """
    found: list[T] = []
    read, problems = [], []
    for path, run in runs_below(folder):
        try:
            if isinstance(run, Exception):
                raise run
            found.append(use(run) if run.packed is None else use_packed(run))
            read.append(run)
        except (ConfigError, OSError, ValueError) as error:
            why = re.sub(rf"(?<![^\s'\"(]){re.escape(str(path))}/", "", str(error))
            problems.append(f"{relative(path)} left out: {why}")
    if not (found or problems):
        problems.append(f"{folder} left out: holds no run")
    notes += [*without_code(read), *problems[:MOST_NOTES]]
    if more := problems[MOST_NOTES:]:
        notes.append(f"{folder}: {counted(len(more), 'more run')} left out")
    return found, len(problems)


def _ended(run: Run) -> Run:
    if run.result.status == "interrupted":
        raise ValueError("was interrupted")
    run.checked_metrics()
    return run


def _compared(run: Run) -> ComparedRun:
    frame = run.checked_metrics()
    return ComparedRun(run, largest(frame, "grad_norm_raw_max"), largest(frame, "update_norm_max"))


def largest(frame: "polars.DataFrame", name: str) -> float | None:
    """Return the largest value of a metric, NaN left out; None if there is none.

    Args:
        frame: the metrics of a run.
        name: the name of the metric.
    """
    values = frame[name].to_numpy() if name in frame.columns else np.empty(0)
    known = values[~np.isnan(values)]
    return float(known.max()) if len(known) else None
