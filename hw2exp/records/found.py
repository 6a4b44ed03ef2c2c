"""Hold the usable runs of a folder, as arms and as a table."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

from hw2exp.records.arms import Arm, Run, gather, settings_of_arm
from hw2exp.records.outcomes import outcomes, packed_outcomes, packed_swept, swept
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
        left_out: a line for each reason to leave runs out, with their number.
        lost: the lines of ``left_out`` except for repetitions of another run.
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
        """Return a row a run: the swept settings and the seed."""

    @property
    @abstractmethod
    def outcomes(self) -> "polars.DataFrame":
        """Return :attr:`swept` with what became of each run."""

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
        """Return a row a run: the swept settings and the seed."""
        return swept(self.arms)

    @cached_property
    def outcomes(self) -> "polars.DataFrame":
        """Return :attr:`swept` with what became of each run; this reads every run's metrics."""
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
        return commands(run.folder for arm in self.arms for run in arm.runs.values())

    @property
    def versions(self) -> set[str]:
        """Return each combination of software versions that runs used."""
        return {_text(result.versions) for arm in self.arms for result in arm.results}


@dataclass(frozen=True)
class FoundPacked(Found):
    """The runs of a sweep with packed records; arms are made only when asked for.

    Args:
        sweep: the records.
        rows: a row for each run that has ended, see :meth:`PackedSweep.runs`.
    """

    sweep: PackedSweep
    rows: "polars.DataFrame"

    @cached_property
    def arms(self) -> Sequence[Arm]:
        """Return the arms of the usable runs."""
        arms, _ = gather(runs_of(self.sweep))
        return sorted(arms, key=lambda arm: arm.rank)

    @cached_property
    def swept(self) -> "polars.DataFrame":
        """Return a row a run: the swept settings and the seed."""
        return packed_swept(self.sweep, self.rows)

    @cached_property
    def outcomes(self) -> "polars.DataFrame":
        """Return :attr:`swept` with what became of each run."""
        return packed_outcomes(self.sweep, self.rows)

    @property
    def size(self) -> tuple[int, int]:
        """Return the numbers of runs and arms, the latter as they were asked for."""
        arms = prod(len(axis.lines) for axis in self.sweep.swept if axis.key != "seed")
        return len(self.rows), arms

    @property
    def common(self) -> Settings:
        """Return the settings that all runs share."""
        first, *others = map(settings_of_arm, self.sweep.configs)
        swept = {axis.key for axis in self.sweep.swept}
        return [
            (key, show(value))
            for key, value in first.items()
            if key not in swept and all(own.get(key) == value for own in others)
        ]

    @property
    def commands(self) -> list[str]:
        """Return the command that made the runs."""
        return commands([self.sweep.folder / "0"])

    @property
    def versions(self) -> set[str]:
        """Return each combination of software versions that runs used."""
        return set(map(_text, self.sweep.versions()))


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
