"""Hold runs, and gather the runs that differ only in the seed into arms."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np

from hw2exp.config.recorded import recorded_config
from hw2exp.config.registry import CHOICES
from hw2exp.config.run_files import METRICS
from hw2exp.config.schema import OPERATIONAL, TrainConfig
from hw2exp.config.settings import Rank, Value, rank, settings_of
from hw2exp.records.arm_names import Settings, names
from hw2exp.records.metrics import digest_of_frame, read_metrics
from hw2exp.records.packed import PackedSweep
from hw2exp.records.run_dir import RunResult, read_result

if TYPE_CHECKING:
    import polars

NO_CURE = {"clip": "none", "norm": "none", "regularizer": "none", "schedule": "constant"}
"""The choice of each group of cures that stands for no cure."""

RATE = "optimizer.lr"

Key = tuple[tuple[str, Value], ...]

T = TypeVar("T")


def settings_of_arm(config: TrainConfig) -> Settings:
    """Return the settings that define a run's arm: all but the seed and operational keys."""
    return settings_of(config, {*OPERATIONAL, "seed"})


def by_arm(members: Iterable[T], settings: Callable[[T], Settings]) -> list[list[T]]:
    """Group runs or jobs by arm, in the order of the arms' first members.

    Args:
        members: the runs or jobs.
        settings: the function that returns a member's settings, see :func:`settings_of_arm`.
    """
    arms: dict[Key, list[T]] = {}
    for each in members:
        arms.setdefault(tuple(settings(each).items()), []).append(each)
    return list(arms.values())


def arm_numbers(configs: Sequence[TrainConfig]) -> list[int]:
    """Return the number of each config's arm, in the order of the arms' first configs."""
    numbers: dict[Key, int] = {}
    keys = [tuple(settings_of_arm(config).items()) for config in configs]
    return [numbers.setdefault(key, len(numbers)) for key in keys]


@dataclass(frozen=True)
class Run:
    """A run with a result.

    Args:
        folder: the run folder; with packed records, the folder that the run could have.
        config: the config.
        result: the result.
        packed: the packed records that hold the run, if any.
    """

    folder: Path
    config: TrainConfig
    result: RunResult
    packed: PackedSweep | None = None

    @classmethod
    def read(cls, folder: Path, shown: bool = False) -> Self:
        """Read a run folder; compute ``ends_solved`` if an older result lacks it.

        Args:
            folder: the run folder.
            shown: whether the run is only shown, so that choices without code are allowed.

        Raises:
            ConfigError: the config can't be read.
            OSError: there is no result.
            ValueError: the result is damaged.
        """
        result = read_result(folder)
        config = recorded_config(folder, result.config, shown)
        if result.ends_solved is None:
            accuracy = np.float32(result.final_or("test_accuracy", 0))  # float32, as in training
            reached = bool(accuracy >= np.float32(config.solved_accuracy))
            result = replace(result, ends_solved=reached and result.solved_at is not None)
        return cls(folder, config, result)

    def metrics(self) -> "polars.DataFrame":
        """Return the run's metrics, one row for each logged step."""
        if self.packed is not None:
            return self.packed.metrics_of(int(self.folder.name))
        return read_metrics(self.folder / METRICS)

    def checked_metrics(self) -> "polars.DataFrame":
        """Return the run's metrics, checked against the digest of its result.

        Raises:
            ValueError: the metrics are missing, damaged, or don't match the digest.
        """
        try:
            frame = self.metrics()
        except FileNotFoundError as error:
            raise ValueError("metrics are missing") from error
        except (OSError, ValueError) as error:
            raise ValueError("metrics can't be read") from error
        if digest_of_frame(frame) != self.result.metrics_sha256:
            raise ValueError("metrics are not those of the result")
        return frame


@dataclass(frozen=True)
class Arm:
    """Runs that differ only in the seed.

    Args:
        name: the settings that distinguish the arm from others.
        runs: the runs by seed, at least one.
    """

    name: str
    runs: Mapping[int, Run]

    @property
    def config(self) -> TrainConfig:
        """Return the config of the arm's first run."""
        return next(iter(self.runs.values())).config

    @cached_property
    def settings(self) -> Settings:
        """Return the runs' common settings."""
        return settings_of_arm(self.config)

    def settings_but(self, *left_out: str) -> Key:
        """Return the settings without those of some groups and keys.

        Args:
            left_out: the groups and keys, in which arms to be compared may differ.
        """
        return tuple(
            (key, value)
            for key, value in self.settings.items()
            if not {key, key.partition(".")[0]} & set(left_out)
        )

    @property
    def model(self) -> str:
        """Return the name of the model."""
        return self.config.model.name

    @property
    def optimizer(self) -> str:
        """Return the name of the optimizer."""
        return self.config.optimizer.name

    @property
    def rate(self) -> float:
        """Return the learning rate."""
        return self.config.optimizer.lr

    @property
    def results(self) -> list[RunResult]:
        """Return the results of all runs, in the order of their seeds."""
        return [run.result for run in self.runs.values()]

    @property
    def chosen_cures(self) -> dict[str, str]:
        """Return the cures by group; empty without any."""
        on = {group: self.settings[group] for group in NO_CURE}
        return {group: name for group, name in on.items() if name != NO_CURE[group]}

    @property
    def cures(self) -> str:
        """Return the cures as typed; empty without any."""
        return " ".join(f"{group}={name}" for group, name in self.chosen_cures.items())

    @property
    def short_name(self) -> str:
        """Return the name without the choices that stand for no cure."""
        absent = {f"{group}={none}" for group, none in NO_CURE.items()}
        return " ".join(word for word in self.name.split(" ") if word not in absent) or "no cure"

    @property
    def rank(self) -> tuple[list[int], list[Rank]]:
        """Return the sort key: the registry's order of each group's choices, then the values."""
        groups = [group for group in CHOICES if group not in OPERATIONAL]
        places = ({name: n for n, name in enumerate(CHOICES[group])} for group in groups)
        chosen = [
            known.get(self.settings[group], len(known))  # without its code it comes last
            for group, known in zip(groups, places, strict=True)
        ]
        return chosen, [rank(value) for key, value in self.settings.items() if key not in CHOICES]


def gather(runs: Iterable[Run]) -> tuple[list[Arm], int]:
    """Gather runs into arms.

    Args:
        runs: the runs in any order; of runs with the same settings and seed, the first counts.

    Returns:
        The arms, each with its runs by seed, and the number of repeated runs.
    """
    groups = by_arm(runs, lambda run: settings_of_arm(run.config))
    members = [{run.config.seed: run for run in reversed(group)} for group in groups]
    unnamed = [Arm("", dict(sorted(each.items()))) for each in members]
    named = zip(unnamed, names([arm.settings for arm in unnamed]), strict=True)
    repeated = sum(map(len, groups)) - sum(map(len, members))
    return [replace(arm, name=name) for arm, name in named], repeated
