"""Read a request about one spike of a run; nothing here is slow to import."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hw2exp.config.recorded import recorded_config
from hw2exp.config.run_files import ANATOMY, METRICS, PACKED, SWEEP
from hw2exp.config.schema import TrainConfig
from hw2exp.records.metrics import read_metrics
from hw2exp.records.run_dir import RunResult, read_result
from hw2exp.records.spike import Spike
from hw2exp.records.step_table import STEP
from hw2exp.system.problems import ConfigError

DIVERGENCE = "divergence"
"""The word for the step at which the run diverged, in place of a spike's number."""

OTHER_RUN = "another machine or version, or a config that was changed?"
"""The end of a message that steps made again differ from the recorded ones."""


@dataclass(frozen=True)
class Request:
    """A spike of a run, and the folder for its page.

    Args:
        folder: the run folder.
        config: the run's config.
        result: the run's result.
        number: the number of the spike, from 1; None for the divergence.
        spike: the spike; for the divergence, only its step is known.
        out: the folder of the page.
    """

    folder: Path
    config: TrainConfig
    result: RunResult
    number: int | None
    spike: Spike
    out: Path

    @property
    def name(self) -> str:
        """Return the name of the page's file, without its suffix."""
        return DIVERGENCE if self.number is None else f"spike_{self.number}"

    @property
    def title(self) -> str:
        """Return the page's title: the spike, and the run's config in short."""
        spikes = len(self.result.spikes)
        what = f"Spike {self.number} of {spikes}" if self.number else "The divergence"
        return f"{what}: {self.config.describe()}"

    def check_made_again(self, losses: Mapping[int, float]) -> None:
        """Check that steps made again are the run's, see :func:`check_made_again`."""
        check_made_again(self.folder, [] if self.number is None else [self.spike], losses)


def check_made_again(folder: Path, spikes: Sequence[Spike], losses: Mapping[int, float]) -> None:
    """Check that steps made again have the losses that the run recorded.

    Args:
        folder: the run folder.
        spikes: spikes of the run, whose peaks are among the steps.
        losses: the training loss of each step made again, by step.

    Raises:
        ConfigError: the losses differ, or the run's metrics can't be read.
    """
    try:
        frame = read_metrics(folder / METRICS)
    except (OSError, ValueError) as error:
        raise ConfigError([f"{folder}: its metrics can't be read: {error}"]) from error
    recorded = [(spike.step, spike.loss) for spike in spikes]
    logged = zip(frame[STEP], frame["loss_train"], strict=True)
    recorded += [(step, loss) for step, loss in logged if step in losses]
    for step, loss in recorded:
        again = losses.get(step, math.nan)
        if not np.array_equal(again, loss, equal_nan=True):
            problem = f"step {step} made again has a loss of {again!r}, not {loss!r}"
            raise ConfigError([f"{folder}: {problem}; {OTHER_RUN}"])


def read_request(
    folder: Path, number: str, out: Path | None, key: str = "--spike=", pages: str = ANATOMY
) -> Request:
    """Read the config, the result and a spike of a run.

    Args:
        folder: the run folder.
        number: the number of the spike, from 1, as typed; or ``divergence``.
        out: the folder of the page; by default ``pages`` in the run folder.
        key: the text before the number in error messages.
        pages: the name of the folder of such pages in the run folder.

    Raises:
        ConfigError: the folder holds no run with such a spike, or the page can't go there.
    """
    target = folder / pages if out is None else out
    if out is None and target.is_symlink():  # came with the run, may lead anywhere
        raise ConfigError([f"{target}: is a link; must be a folder, or named by --out"])
    if not folder.is_dir():
        raise ConfigError([f"{folder}: must be the folder of a run{_extract(folder)}"])
    if target.exists() and not target.is_dir():
        raise ConfigError([f"{target}: must be a folder"])
    config, result = _read(folder)
    at, count = result.diverged_at, len(result.spikes)
    if number == DIVERGENCE:
        if at is None:
            raise ConfigError([f"{key}{number}: {folder} has not diverged"])
        spike = Spike(at, at, at, loss=math.nan, median=math.nan, above_initial=True)
        return Request(folder, config, result, None, spike, target)
    or_else = "" if at is None else f"; it diverged, see {key}{DIVERGENCE}"
    if not count:
        raise ConfigError([f"{folder}: has no spike{or_else}"])
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= count):
        raise ConfigError([f"{key}{number}: must be from 1 to {count}{or_else}"])
    spike = Spike.of(result.spikes[int(number) - 1])
    return Request(folder, config, result, int(number), spike, target)


def _read(folder: Path) -> tuple[TrainConfig, RunResult]:
    try:
        result = read_result(folder)
    except OSError as error:
        if (folder / SWEEP).exists():
            hint = _extract(folder / "NUMBER") or "; name that of one job"
            raise ConfigError([f"{folder}: is a sweep's folder{hint}"]) from error
        raise ConfigError([f"{folder}: holds no result of a run: {error.strerror}"]) from error
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    return on_cpu(recorded_config(folder, result.config)), result


def _extract(folder: Path) -> str:
    """Return the command that writes the folder of a job from packed records, if there are any."""
    if not (folder.parent / PACKED).is_dir():
        return ""
    return f"; python -m hw2exp.extract {folder.parent} --job {folder.name} writes it"


def on_cpu(config: TrainConfig) -> TrainConfig:
    """Return a run's config for the CPU, on which every run is made again."""
    return config.model_copy(update={"device": "cpu"})
