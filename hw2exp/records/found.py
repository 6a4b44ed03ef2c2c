"""Hold the usable runs of a folder, as arms and as a table."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from hw2exp.records.arms import Arm, Run, gather, settings_of_arm
from hw2exp.records.outcomes import (
    SEED,
    PackedRows,
    outcomes,
    packed_outcomes,
    packed_swept,
    swept,
)
from hw2exp.records.packed import PackedSweep
from hw2exp.records.typed_commands import commands
from hw2exp.system.problems import show

if TYPE_CHECKING:
    import polars

Settings = list[tuple[str, str]]


@dataclass(frozen=True)
class Found(ABC):
    """The runs of a folder.

    Args:
        left_out: a line for each reason why runs were left out, with their number.
        lost: the lines of ``left_out`` about unusable runs, without pruned and repeated ones.
    """

    left_out: tuple[str, ...]
    lost: tuple[str, ...]

    @property
    @abstractmethod
    def arms(self) -> Sequence[Arm]:
        """Return the arms of the usable runs."""

    @property
    @abstractmethod
    def swept(self) -> "polars.DataFrame":
        """Return a row for each run: the swept settings and the seed."""

    @property
    @abstractmethod
    def outcomes(self) -> "polars.DataFrame":
        """Return :attr:`swept` with the outcome of each run."""

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Return the numbers of runs and arms."""

    @property
    @abstractmethod
    def common(self) -> Settings:
        """Return the settings that all runs share."""

    @property
    @abstractmethod
    def commands(self) -> list[str]:
        """Return the commands that made the runs."""

    @property
    @abstractmethod
    def versions(self) -> set[str]:
        """Return each combination of software versions that runs used."""


@dataclass(frozen=True)
class FoundArms(Found):
    """Runs that are read one by one.

    Args:
        read: the arms of the usable runs.
    """

    read: Sequence[Arm]

    @property
    def arms(self) -> Sequence[Arm]:
        """Return the arms of the usable runs."""
        return self.read

    @cached_property
    def swept(self) -> "polars.DataFrame":
        """Return a row for each run: the swept settings and the seed."""
        return swept(self.arms)

    @cached_property
    def outcomes(self) -> "polars.DataFrame":
        """Return :attr:`swept` with the outcome of each run; this reads every run's metrics."""
        return outcomes(self.arms)

    @property
    def size(self) -> tuple[int, int]:
        """Return the numbers of runs and arms."""
        return sum(len(arm.runs) for arm in self.arms), len(self.arms)

    @property
    def common(self) -> Settings:
        """Return the settings that all runs share."""
        first, *others = self.arms
        return [
            (key, show(value))
            for key, value in first.settings.items()
            if all(arm.settings.get(key) == value for arm in others)
        ]

    @property
    def commands(self) -> list[str]:
        """Return the commands that made the runs."""
        runs = (run for arm in self.arms for run in arm.runs.values())
        return commands((run.folder, run.result.versions) for run in runs)

    @property
    def versions(self) -> set[str]:
        """Return each combination of software versions that runs used."""
        return {_text(result.versions) for arm in self.arms for result in arm.results}


@dataclass(frozen=True)
class FoundPacked(Found):
    """The runs of sweeps with packed records; arms are made only when asked for.

    Args:
        sweeps: each sweep with the rows of its runs, without pruned ones; of runs with the same
            settings and seed, the first counts.
    """

    sweeps: Sequence[PackedRows]

    @cached_property
    def arms(self) -> Sequence[Arm]:
        """Return the arms of the usable runs."""
        runs = (run for sweep, _ in self.sweeps for run in runs_of(sweep))
        arms, _ = gather(run for run in runs if run.result.pruned_at is None)
        return sorted(arms, key=lambda arm: arm.rank)

    @cached_property
    def swept(self) -> "polars.DataFrame":
        """Return a row for each run: the swept settings and the seed."""
        return packed_swept(self.sweeps).unique(maintain_order=True)

    @property
    def repeated(self) -> int:
        """Return the number of runs that don't count, because others have their settings."""
        return sum(len(rows) for _, rows in self.sweeps) - len(self.swept)

    @cached_property
    def outcomes(self) -> "polars.DataFrame":
        """Return :attr:`swept` with the outcome of each run."""
        keys = self.swept.columns
        return packed_outcomes(self.sweeps).unique(keys, keep="first", maintain_order=True)

    @property
    def size(self) -> tuple[int, int]:
        """Return the numbers of runs and arms."""
        return len(self.swept), max(self.swept.drop(SEED).n_unique(), 1)

    @property
    def common(self) -> Settings:
        """Return the settings that all runs share."""
        first, *others = (settings_of_arm(config) for own in self._own for config in own.configs)
        swept = {axis.key for own in self._own for axis in own.axes.swept}
        return [
            (key, show(value))
            for key, value in first.items()
            if key not in swept and all(own.get(key) == value for own in others)
        ]

    @property
    def commands(self) -> list[str]:
        """Return the commands that made the runs."""
        return commands(
            (own.folder / "0", versions) for own in self._own for versions in own.versions()
        )

    @property
    def versions(self) -> set[str]:
        """Return each combination of software versions that runs used."""
        return {_text(versions) for own in self._own for versions in own.versions()}

    @property
    def _own(self) -> Sequence[PackedSweep]:
        return [sweep for sweep, _ in self.sweeps]


def runs_of(sweep: PackedSweep) -> list[Run]:
    """Return the runs of packed records that have ended.

    Args:
        sweep: the records.

    Raises:
        OSError: a file can't be read.
        ValueError: a file is damaged.
    """
    each = sweep.results()
    return [Run(sweep.folder / str(n), sweep.config(n), result, sweep) for n, result in each]


def _text(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in versions.items())
