"""From folders to the columns of a comparison: each a run, or several runs together."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING

import numpy as np

from hw2exp.config.folder import check_there
from hw2exp.config.problems import ConfigError, counted
from hw2exp.config.recorded import CONFIG
from hw2exp.config.settings import rank_of_path
from hw2exp.records.run_dir import RESULT, RunResult
from hw2exp.records.runs import Run, gather
from hw2exp.terminal import relative

if TYPE_CHECKING:
    import polars

MOST = 12
"""Columns that the runs, or the arms, of one folder may have."""

TOLD = 10
"""Runs of one folder that are told of one by one."""


@dataclass(frozen=True)
class Compared:
    """A run, and what its metrics say.

    Args:
        run: the run.
        grad_norm: the largest norm of a gradient, if any was measured.
        update_norm: the largest step that the parameters made, likewise.
    """

    run: Run
    grad_norm: float | None
    update_norm: float | None

    @property
    def result(self) -> RunResult:
        """The run's."""
        return self.run.result


@dataclass(frozen=True)
class Column:
    """A column of the comparison.

    Args:
        mark: its heading, a letter or a number.
        name: what it stands for: a folder, or what tells an arm from others.
        members: its runs.
    """

    mark: str
    name: str
    members: Sequence[Compared]

    @property
    def alone(self) -> Compared | None:
        """The run, where the column is one."""
        return self.members[0] if len(self.members) == 1 else None


@dataclass(frozen=True)
class Columns:
    """All columns.

    Args:
        columns: at least one; of a single run there are two or more.
        told: a line for whatever was left out.
        lost: how many folders of ``told`` could not be read.
    """

    columns: Sequence[Column]
    told: Sequence[str]
    lost: int


def read_columns(folders: Sequence[Path]) -> Columns:
    """Read what is to be compared.

    Each folder makes a column. The runs of a single one have a column each, if they are few; else
    their arms have, if these are.

    Args:
        folders: of runs, or of sweeps.

    Raises:
        ConfigError: a folder isn't there; or there is nothing to compare.
    """
    for folder in folders:
        check_there(folder, str(folder))
    told: list[str] = []
    read = {str(folder): _read_below(folder, told) for folder in folders}  # each once
    found = {name: compared for name, (compared, _) in read.items()}
    named: list[tuple[str, Sequence[Compared]]]
    if len(folders) == 1:
        named = _divided(folders[0], found[str(folders[0])], told)
    else:
        named = [(str(folder), found[str(folder)]) for folder in folders if found[str(folder)]]
    runs = sum(len(members) for _, members in named)
    if runs < 2:
        there = "only one run" if runs else "no run that can be read"
        raise ConfigError([*told[:1], f"{there}; a comparison needs two or more"])
    marks = ascii_uppercase if len(named) <= len(ascii_uppercase) else map(str, range(1, 1 + runs))
    columns = [Column(mark, *each) for mark, each in zip(marks, named, strict=False)]
    return Columns(columns, told, sum(lost for _, lost in read.values()))


def _divided(
    folder: Path, members: Sequence[Compared], told: list[str]
) -> list[tuple[str, Sequence[Compared]]]:
    """One folder's runs as columns."""
    if len(members) <= MOST:  # none, perhaps
        return [(str(relative(each.run.folder)), [each]) for each in members]
    by_folder = {each.run.folder: each for each in members}
    arms, repeated = gather(each.run for each in members)
    if not 1 < len(arms) <= MOST:
        if len(arms) > MOST:
            told.append(
                f"{folder}: {len(arms)} arms in one column, as they are more than {MOST}; "
                "python -m hw2exp.report tells them apart"
            )
        return [(str(folder), members)]
    if repeated:
        told.append(
            f"{folder}: {counted(repeated, 'run')} left out: another has its settings and seed"
        )
    return [(arm.name, [by_folder[run.folder] for run in arm.runs.values()]) for arm in arms]


def _read_below(folder: Path, told: list[str]) -> tuple[list[Compared], int]:
    """Return the runs below a folder that can be read; tell of the others, and count them."""
    paths = {path.parent for path in folder.glob(f"**/{RESULT}")}
    paths |= {path.parent.parent for path in folder.glob(f"**/{CONFIG}")}
    found, problems = [], []
    for path in sorted(paths, key=rank_of_path):
        try:
            found.append(_read(path))
        except (ConfigError, OSError, ValueError) as error:
            why = re.sub(rf"(?<![^\s'\"(]){re.escape(str(path))}/", "", str(error))
            problems.append(f"{relative(path)} left out: {why}")
    if not paths:
        problems.append(f"{folder} left out: holds no run")
    told += problems[:TOLD]
    if more := problems[TOLD:]:
        told.append(f"{folder}: {counted(len(more), 'more run')} left out")
    return found, len(problems)


def _read(folder: Path) -> Compared:
    if not (folder / RESULT).exists():
        raise ValueError("has no result; interrupted, or still running")
    run = Run.read(folder)
    frame = run.checked_metrics()
    return Compared(run, _largest(frame, "grad_norm_raw_max"), _largest(frame, "update_norm_max"))


def _largest(frame: "polars.DataFrame", name: str) -> float | None:
    """A column's largest value, NaN left out; nothing where there is none."""
    values = frame[name].to_numpy() if name in frame.columns else np.empty(0)
    known = values[~np.isnan(values)]
    return float(known.max()) if len(known) else None
