"""Read the runs below a folder, and gather into arms the runs that differ only in the seed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from hw2exp.config.folder import check_there
from hw2exp.config.recorded import CONFIG, UnknownConfigError, recorded_config
from hw2exp.config.registry import CHOICES
from hw2exp.config.schema import OPERATIONAL, TrainConfig
from hw2exp.config.settings import Rank, rank, rank_of_path, settings_as_typed
from hw2exp.records.metrics import digest_of_frame, read_metrics
from hw2exp.records.run_dir import METRICS, RESULT, RunResult, read_result
from hw2exp.system.problems import ConfigError, counted

if TYPE_CHECKING:
    import polars

NO_CURE = {"clip": "none", "norm": "none", "regularizer": "none", "schedule": "constant"}
"""The choice of each group of cures that stands for no cure."""

BROUGHT = {"init.readout": "norm"}
"""Keys that a choice of another group may set in its own file, with that group.

They only shorten names. A comparison treats them like any other setting.
"""

RATE = "optimizer.lr"

Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Run:
    """A run with a result.

    Args:
        folder: the run folder.
        config: the run's config.
        result: the run's result.
    """

    folder: Path
    config: TrainConfig
    result: RunResult

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a run folder; compute ``ends_solved`` if an older result lacks it.

        Args:
            folder: the run folder.

        Raises:
            ConfigError: the config can't be read.
            OSError: there is no result.
            ValueError: the result is damaged.
        """
        result = read_result(folder)
        config = recorded_config(folder, result.config)
        if result.ends_solved is None:
            accuracy = np.float32(result.final_or("test_accuracy", 0))  # float32, as in training
            reached = bool(accuracy >= np.float32(config.solved_accuracy))
            result = replace(result, ends_solved=reached and result.solved_at is not None)
        return cls(folder, config, result)

    def metrics(self) -> "polars.DataFrame":
        """Return the run's metrics, one row for each logged step."""
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

    @cached_property
    def settings(self) -> dict[str, str]:
        """Return the choices and values as typed, without the seed and operational knobs."""
        return settings_as_typed(self.config, {*OPERATIONAL, "seed"})


@dataclass(frozen=True)
class Arm:
    """Runs that differ only in the seed.

    Args:
        name: the settings that distinguish the arm from others.
        runs: the runs by seed.
        settings: the runs' common settings.
    """

    name: str
    runs: Mapping[int, Run]
    settings: Mapping[str, str]

    @property
    def results(self) -> list[RunResult]:
        """Return the results of all runs, in the order of their seeds."""
        return [run.result for run in self.runs.values()]

    @property
    def cures(self) -> str:
        """Return the cures as typed; empty without any."""
        on = {group: self.settings[group] for group in NO_CURE}
        return " ".join(f"{key}={on[key]}" for key, none in NO_CURE.items() if on[key] != none)

    @property
    def short_name(self) -> str:
        """Return the name without the choices that stand for no cure."""
        absent = {f"{group}={none}" for group, none in NO_CURE.items()}
        return " ".join(word for word in self.name.split(" ") if word not in absent) or "no cure"


@dataclass(frozen=True)
class Found:
    """The runs of a folder.

    Args:
        arms: the arms of the usable runs.
        left_out: a line for each reason to leave runs out, with their number.
        lost: the lines of ``left_out`` except for repetitions of another run.
    """

    arms: Sequence[Arm]
    left_out: tuple[str, ...]
    lost: tuple[str, ...] = ()


def read_runs(folder: Path) -> Found:
    """Read every run below a folder.

    Args:
        folder: the folder of a run, of a sweep, or of many.

    Raises:
        ConfigError: there is no such folder, or no usable run in it.
    """
    check_there(folder, str(folder))
    runs: list[Run] = []
    left_out: Counter[str] = Counter()
    begun = {path.parent.parent for path in folder.glob(f"**/{CONFIG}")}
    ended = {path.parent for path in folder.glob(f"**/{RESULT}")}
    left_out["no result: interrupted, failed, or still running"] = len(begun - ended)
    for path in sorted(ended, key=rank_of_path):
        try:
            run = Run.read(path)
        except (ConfigError, OSError, ValueError) as error:
            left_out[_unreadable(error)] += 1
            continue
        if problem := _unusable(run):
            left_out[problem] += 1
        else:
            runs.append(run)
    arms, repeated = gather(runs)
    lost = [_line(why, count) for why, count in left_out.items() if count]
    lines = lost + [_line("another run has its settings and seed", repeated)] * (repeated > 0)
    if not arms:
        problem = f"{folder}: holds no run that came to its end"
        raise ConfigError(["; ".join([problem, *lines])])
    return Found(sorted(arms, key=_order), tuple(lines), tuple(lost))


def _line(why: str, count: int) -> str:
    return f"{counted(count, 'run')} left out: {why}"


def _unreadable(error: Exception) -> str:
    """Return why a run's config or result can't be used."""
    if isinstance(error, UnknownConfigError):
        return error.problems[0]
    return "config or result can't be read"


def _unusable(run: Run) -> str | None:
    """Return why a run must be left out, or None; the metrics read here are not kept."""
    if run.result.status == "interrupted":
        return "interrupted"
    try:
        run.checked_metrics()
    except ValueError as error:
        return str(error)
    return None


def gather(runs: Iterable[Run]) -> tuple[list[Arm], int]:
    """Gather runs into arms.

    Args:
        runs: the runs in any order; of runs with the same settings and seed, the first counts.

    Returns:
        The arms, each with its runs by seed, and the number of repeated runs.
    """
    groups: dict[Key, dict[int, Run]] = {}
    repeated = 0
    for run in runs:
        members = groups.setdefault(tuple(run.settings.items()), {})
        repeated += run.config.seed in members
        members.setdefault(run.config.seed, run)
    settings = [dict(key) for key in groups]
    arms = [
        Arm(name, dict(sorted(members.items())), own)
        for name, members, own in zip(names(settings), groups.values(), settings, strict=True)
    ]
    return arms, repeated


def _order(arm: Arm) -> tuple[list[int], list[Rank]]:
    """Return a sort key: the registry's order of each group's choices, then the values."""
    groups = [group for group in CHOICES if group not in OPERATIONAL]
    chosen = [list(CHOICES[group]).index(arm.settings[group]) for group in groups]
    return chosen, [rank(value) for key, value in arm.settings.items() if key not in CHOICES]


def names(arms: Sequence[Mapping[str, str]]) -> list[str]:
    """Name each arm by its distinguishing choices, and by values that the choices don't decide.

    Args:
        arms: each arm's settings.
    """
    keys = dict.fromkeys(key for own in arms for key in own)
    telling = [key for key in keys if len({own.get(key) for own in arms}) > 1]
    groups = [key for key in telling if key in CHOICES]
    free = [key for key in telling if key not in CHOICES and not decided(key, arms)]
    shown = [*groups, *free]
    return [
        " ".join(f"{key}={own[key]}" for key in shown if key in own) or "all runs" for own in arms
    ]


def decided(key: str, arms: Sequence[Mapping[str, str]]) -> bool:
    """Return whether a group's choice decides a value: arms with equal choices have equal values.

    Args:
        key: the key of the value.
        arms: each arm's settings.
    """
    group = BROUGHT.get(key, key.partition(".")[0])
    values: dict[str | None, set[str | None]] = {}
    for own in arms:
        values.setdefault(own.get(group), set()).add(own.get(key))
    return group in CHOICES and all(len(each) == 1 for each in values.values())
