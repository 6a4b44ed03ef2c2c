"""Write and read the packed records of a sweep: three files for all runs of a fleet.

``packed/sweep.json`` holds the axes of the sweep, and the config of each program's first job. The
files of a fleet are those of :mod:`hw2exp.records.packed_fleet`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from hw2exp.config.axes import Axes, Numbers, with_data
from hw2exp.config.resume import differences
from hw2exp.config.run_files import PACKED
from hw2exp.config.schema import TrainConfig
from hw2exp.records.checkpoint_folder import other_code
from hw2exp.records.packed_axes import read_axes, write_axes
from hw2exp.records.packed_fleet import (
    check_fleet,
    ended_fleets,
    read_metrics,
    read_runs,
    remove_fleet,
    versions_of,
)
from hw2exp.records.packed_rows import JOB, metrics_types, result_of, run_types
from hw2exp.records.run_dir import RunResult
from hw2exp.records.step_table import STEP
from hw2exp.system import disk
from hw2exp.system.problems import ConfigError

if TYPE_CHECKING:
    import polars

SWEEP = "sweep.json"


@dataclass(frozen=True)
class PackedSweep:
    """The packed records of a sweep.

    Args:
        folder: the folder of the sweep.
        axes: the axes of the sweep.
        configs: the config of each program's first job.
    """

    folder: Path
    axes: Axes
    configs: Sequence[TrainConfig]

    @classmethod
    def read(cls, folder: Path, shown: bool = False) -> Self:
        """Read the records of a sweep; its fleets are read on access.

        Args:
            folder: the folder of the sweep.
            shown: whether the runs are only shown, so that choices without code are allowed.

        Raises:
            OSError: there are no records.
            ValueError: the records are damaged.
            ConfigError: the configs are not of this version.
        """
        return cls(folder, *read_axes(folder / PACKED / SWEEP, shown))

    @classmethod
    def named(cls, folder: Path) -> Self:
        """Read the records of a sweep that a command names.

        Args:
            folder: the folder of the sweep.

        Raises:
            ConfigError: there are no records, or they can't be read.
        """
        if not (folder / PACKED / SWEEP).is_file():
            raise ConfigError(
                [f"{folder}: holds no {PACKED}/{SWEEP}; must be of a sweep with records=packed"]
            )
        try:
            return cls.read(folder)
        except (OSError, ValueError) as error:
            raise ConfigError([str(error)]) from error

    def begin(self) -> None:
        """Write the axes and the configs, unless the file is there already."""
        disk.make_folder(self.path)
        disk.remove_parts(self.path)
        if not (self.path / SWEEP).exists():
            write_axes(self.path / SWEEP, self.axes, self.configs)

    def check_resumes(self) -> None:
        """Refuse to resume in a folder with records of other jobs.

        Raises:
            ConfigError: the records are of other jobs, or can't be read.
        """
        if not (self.path / SWEEP).exists():
            if ended_fleets(self.path):
                raise ConfigError([f"resume={self.folder}: holds fleets, but no {PACKED}/{SWEEP}"])
            return
        there = PackedSweep.named(self.folder)
        problems = dict.fromkeys(there.axes.differences(self.axes))
        same_jobs = not problems
        for old, new in zip(there.configs, self.configs, strict=True) if same_jobs else ():
            recorded = {**old.model_dump(), "fleet_size": new.fleet_size}  # which is not recorded
            texts = differences(recorded, new)
            if old.steps < new.steps:
                texts["steps"] = f"steps={old.steps}, not {new.steps}: packed runs begin anew"
            problems |= dict.fromkeys(texts.values())
        for first in ended_fleets(self.path):
            with suppress(OSError, ValueError):  # damaged: will be made again
                config = self.configs[self.axes.program(first)]
                changed = other_code(config, versions_of(self.path, first))
                if changed and not config.trust_changed:
                    problems[f"runs made by other code of {', '.join(changed)}"] = None
        if problems:
            raise ConfigError(f"resume={self.folder}: has {problem}" for problem in problems)

    @property
    def path(self) -> Path:
        """Return the folder of the files."""
        return self.folder / PACKED

    @property
    def prunes(self) -> bool:
        """Return whether runs may have been pruned."""
        return any(config.prunes for config in self.configs)

    def config(self, number: int) -> TrainConfig:
        """Return the config of a job."""
        return with_data(self.configs[self.axes.program(number)], self.axes.data(number))

    def settle(self, warn: Callable[[str], None]) -> Numbers:
        """Remove the files of damaged fleets, and return the numbers of the runs that have ended.

        Args:
            warn: the function that receives a line about each such fleet.
        """
        ended = np.zeros(len(self.axes), dtype=np.bool_)
        for first in ended_fleets(self.path):
            try:
                numbers = self._rows(first)[JOB].to_numpy()
                if ended[numbers].any():
                    raise ValueError(f"{self.path}: fleet {first} has runs of another")
                ended[numbers] = True
            except (OSError, ValueError) as error:
                warn(f"{error}: its runs are made again")
                remove_fleet(self.path, first)
        return np.flatnonzero(ended)

    def _rows(self, first: int) -> "polars.DataFrame":
        """Read the rows of a fleet's runs, whose files must be whole and of this sweep.

        Raises:
            OSError: a file can't be read.
            ValueError: a file is damaged, or holds other runs.
        """
        check_fleet(self.path, first)
        rows = read_runs(self.path, first)
        numbers = rows[JOB].to_numpy()
        sound = len(numbers) and numbers[0] == first and (np.diff(numbers) > 0).all()
        if not sound or numbers[-1] >= len(self.axes):
            raise ValueError(f"{self.path}: fleet {first}: its jobs are out of order")
        swept = self.axes.columns(numbers.tolist())
        if any(key not in rows or rows[key].to_list() != own for key, own in swept.items()):
            raise ValueError(f"{self.path}: fleet {first}: is of another sweep")
        return rows

    def runs(self) -> "polars.DataFrame":
        """Return a row for each run that has ended, by job.

        Raises:
            ValueError: a file is damaged.
        """
        import polars

        frames = [self._rows(first) for first in ended_fleets(self.path)]
        rows = polars.concat(frames or [polars.DataFrame(schema=run_types())]).sort(JOB)
        if rows[JOB].n_unique() < len(rows):
            raise ValueError(f"{self.path}: has a run twice")
        return rows

    def metrics(self) -> "polars.DataFrame":
        """Return the metrics of all runs, one row for each run and logged step, by job and step.

        Raises:
            ValueError: a file is damaged.
        """
        import polars

        frames = [read_metrics(self.path, first) for first in ended_fleets(self.path)]
        rows = polars.concat(frames or [polars.DataFrame(schema=metrics_types())])
        return rows.sort(JOB, STEP)

    def metrics_of(self, number: int) -> "polars.DataFrame":
        """Return the metrics of a run; those of all runs are kept in memory.

        Raises:
            ValueError: the run has no metrics, or a file is damaged.
        """
        jobs, rows = self._all_metrics
        first, end = np.searchsorted(jobs, [number, number + 1]).tolist()
        if first == end:
            raise ValueError("metrics are missing")
        return rows.slice(first, end - first)

    @cached_property
    def _all_metrics(self) -> "tuple[Numbers, polars.DataFrame]":
        rows = self.metrics()
        return rows[JOB].to_numpy(), rows.drop(JOB)

    def results(self) -> Iterator[tuple[int, RunResult]]:
        """Yield the number and the result of each run that has ended.

        Raises:
            ValueError: a file is damaged.
        """
        for first in ended_fleets(self.path):
            versions = versions_of(self.path, first)
            for row in self._rows(first).iter_rows(named=True):
                yield row[JOB], result_of(row, versions)

    def versions(self) -> list[dict[str, str]]:
        """Return the versions that made each fleet.

        Raises:
            OSError: a file can't be read.
            ValueError: a file is damaged.
        """
        return [versions_of(self.path, first) for first in ended_fleets(self.path)]

    def program_of(self, numbers: Numbers) -> Numbers:
        """Return the number of each job's program, ``(n,)``, for the numbers of jobs, ``(n,)``."""
        programs = np.empty(len(self.axes), dtype=np.int64)
        for program, own in enumerate(self.axes.programs()):
            programs[own] = program
        return programs[numbers]
