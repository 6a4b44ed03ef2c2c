"""Read the runs below a folder."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hw2exp.config.folder import check_there
from hw2exp.config.recorded import UnknownConfigError
from hw2exp.config.run_files import CONFIG, RESULT
from hw2exp.config.settings import rank_of_path
from hw2exp.records.arms import Arm, Run, gather
from hw2exp.records.outcomes import outcomes, swept
from hw2exp.records.typed_commands import commands
from hw2exp.system.problems import ConfigError, counted, show

if TYPE_CHECKING:
    import polars


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
    def common(self) -> list[tuple[str, str]]:
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
        found = (result.versions for arm in self.arms for result in arm.results)
        return {", ".join(f"{name} {value}" for name, value in own.items()) for own in found}


def read_runs(folder: Path) -> Found:
    """Read every run below a folder.

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
            other = error.problems[0] if isinstance(error, UnknownConfigError) else None
            left_out[other or "config or result can't be read"] += 1
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
    return Found(sorted(arms, key=lambda arm: arm.rank), tuple(lines), tuple(lost))


def _line(why: str, count: int) -> str:
    return f"{counted(count, 'run')} left out: {why}"


def _unusable(run: Run) -> str | None:
    """Return why a run must be left out, or None; the metrics read here are not kept."""
    if run.result.status == "interrupted":
        return "interrupted"
    try:
        run.checked_metrics()
    except ValueError as error:
        return str(error)
    return None
