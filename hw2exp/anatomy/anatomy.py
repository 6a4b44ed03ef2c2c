"""From a run folder to the page of one of its spikes."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hw2exp import disk
from hw2exp.anatomy.dissection import Dissection, dissect
from hw2exp.anatomy.page import draw
from hw2exp.anatomy.replay import Replayed, replay
from hw2exp.anatomy.verdict import sentences
from hw2exp.config.problems import ConfigError
from hw2exp.config.recorded import recorded_config
from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.ring import norms_by_tensor
from hw2exp.diagnostics.spikes import Spike
from hw2exp.records.kept_spikes import KeptSpike, read_kept
from hw2exp.records.metrics import STEP, read_metrics
from hw2exp.records.run_dir import METRICS, RunResult, read_result

AFTER = 8
"""Steps behind the peak that are looked into."""

LONGEST = 60
"""Steps from the start of a spike on: some last longer."""


def make_page(folder: Path, number: str, out: Path | None, tell: Callable[[str], None]) -> Path:
    """Draw the anatomy of a spike.

    Args:
        folder: the run folder.
        number: of the spike, from 1, as typed.
        out: where to write; by default a folder in the run folder.
        tell: is told what was found, in lines.

    Returns:
        The page.

    Raises:
        ConfigError: the folder holds no run with such a spike, or other steps than it says.
        OSError: the page can't be written.
    """
    target = folder / "anatomy" if out is None else out
    if out is None and target.is_symlink():  # it came with the run, and may lead anywhere
        raise ConfigError([f"{target}: is a link; must be a folder, or named by --out"])
    found, title = dissect_spike(folder, number, tell)
    for line in [title, *(f"  {line}" for line in sentences(found))]:
        tell(line)
    disk.make_folder(target)
    page = target / f"spike_{int(number)}.png"
    disk.write(page, draw(found, title), sync=False)
    return page


def dissect_spike(folder: Path, number: str, tell: Callable[[str], None]) -> tuple[Dissection, str]:
    """Make the steps around a spike again, and look into them.

    Args:
        folder: the run folder.
        number: of the spike, from 1, as typed.
        tell: is told if that takes long.

    Returns:
        What was found, and a title.

    Raises:
        ConfigError: the folder holds no run with such a spike, or other steps than it says.
    """
    config, result = _read(folder)
    spike, place = _spike(folder, result, number)
    seen = _replayed(folder, config, result, spike, _kept(folder, place), tell)
    title = f"Spike {place} of {len(result.spikes)}: {config.describe()}"
    return dissect(config, spike, seen), title


def _read(folder: Path) -> tuple[TrainConfig, RunResult]:
    if not folder.is_dir():
        raise ConfigError([f"{folder}: must be the folder of a run"])
    try:
        result = read_result(folder)
    except OSError as error:
        raise ConfigError([f"{folder}: holds no result of a run: {error.strerror}"]) from error
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    config = recorded_config(folder)
    return config.model_copy(update={"device": "cpu"}), result


def _spike(folder: Path, result: RunResult, number: str) -> tuple[Spike, int]:
    count = len(result.spikes)
    if not count:
        raise ConfigError([f"{folder}: has no spike"])
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= count):
        raise ConfigError([f"--spike={number}: must be from 1 to {count}"])
    values: Mapping[str, Any] = result.spikes[int(number) - 1]
    return Spike(**{each.name: values[each.name] for each in fields(Spike)}), int(number)


def _kept(folder: Path, number: int) -> KeptSpike | None:
    try:
        return next((own for own in read_kept(folder) if own.number == number), None)
    except OSError:
        return None
    except ValueError as error:
        raise ConfigError([str(error)]) from error


def _replayed(
    folder: Path,
    config: TrainConfig,
    result: RunResult,
    spike: Spike,
    kept: KeptSpike | None,
    tell: Callable[[str], None],
) -> Replayed:
    """The steps around a spike, and the certainty that they are those of the run."""
    last = min(spike.step + AFTER, result.step, spike.start + LONGEST)
    if kept is None:
        first = max(1, spike.start - config.diagnostics.steps_before)
        tell(f"spike was not kept: training again up to step {last:,}")
        seen = replay(config, first, last)
    else:
        try:
            seen = replay(config, kept.first, last, kept.state)
        except ValueError as error:
            raise ConfigError([f"{folder}: what was kept of the spike {error}"]) from error
    if problem := _other(folder, seen, kept):
        raise ConfigError([f"{folder}: {problem}; was it made on another machine or version?"])
    return seen


def _other(folder: Path, seen: Replayed, kept: KeptSpike | None) -> str | None:
    """In what the steps differ from those of the run."""
    try:
        frame = read_metrics(folder / METRICS)
    except (OSError, ValueError) as error:
        raise ConfigError([f"{folder}: its metrics can't be read: {error}"]) from error
    for step, loss in zip(frame[STEP], frame["loss_train"], strict=True):
        again = seen.losses.get(step)
        if again is not None and not np.array_equal(again, loss, equal_nan=True):
            return f"step {step} made again has a loss of {again!r}, not {loss!r}"
    if kept is None:
        return None
    count = kept.start - kept.first + 1
    params = torch.cat([made.before.params for made in seen.made[:count]]).numpy()
    if not np.array_equal(params, kept.params):
        return "the steps made again go elsewhere than those that were kept"
    norms = norms_by_tensor(seen.layout, torch.cat([made.grads for made in seen.made[:count]]))
    if other := [name for name in norms if not np.array_equal(norms[name], kept.grad_norms[name])]:
        return f"the gradient of {other[0]} made again is not the one that was kept"
    return None
