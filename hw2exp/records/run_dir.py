"""The files of a run folder, and its result."""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import hw2exp
from hw2exp import disk

Status = Literal["finished", "solved", "diverged", "interrupted"]

RESULT = "result.json"
METRICS = "metrics.parquet"
PARAMETERS = "parameters.safetensors"
EVENTS = "events.out.tfevents.*"
MEASURED = {
    "initial": {"loss", "accuracy"},
    "final": {"train_loss", "test_loss", "test_accuracy"},
}


@dataclass(frozen=True)
class RunResult:
    """What ``result.json`` holds.

    Args:
        status: how the run ended.
        step: the last step that it took part in.
        diverged_at: the step at which it turned non-finite, if it did.
        solved_at: the step of the test pass that made the task count as solved, if one did.
        initial: ``loss`` and ``accuracy`` before training.
        final: the last ``train_loss``, ``test_loss`` and ``test_accuracy``.
        spikes: each spike of the training loss.
        parameters_sha256: digest of the final parameters.
        metrics_sha256: digest of the metrics.
        seconds: how long it took.
        versions: of what it ran on.
        explosions: how many ``steps`` had an exploding gradient, how many of them came soon before
            a spike (``followed``), how many steps were ``watched`` for spikes, and how many of
            these came ``soon_after`` an explosion; nothing in older records.
    """

    status: Status
    step: int
    diverged_at: int | None
    solved_at: int | None
    initial: Mapping[str, float]
    final: Mapping[str, float | None]
    spikes: Sequence[Mapping[str, Any]]
    parameters_sha256: str
    metrics_sha256: str
    seconds: float
    versions: Mapping[str, str]
    explosions: Mapping[str, int] = field(default_factory=dict)

    def final_or(self, name: str, worst: float) -> float:
        """A final value; the worst there is if it is unknown, or the run diverged.

        Args:
            name: a key of ``final``.
            worst: what that is.
        """
        value = self.final[name]
        unknown = value is None or math.isnan(value) or self.diverged_at is not None
        return worst if unknown or value is None else value

    def write(self, folder: Path) -> None:
        """Write ``result.json``: whole, or not at all.

        JSON has no word for what is not finite; it is written as ``"nan"``, ``"inf"``, ``"-inf"``.

        Args:
            folder: the run folder.
        """
        write_json(folder / RESULT, asdict(self))


def clear(folder: Path, events: bool = True) -> None:
    """Remove what a run left that did not come to its end.

    Args:
        folder: the run folder.
        events: TensorBoard's files too.
    """
    disk.remove_parts(folder)
    patterns = [RESULT, METRICS, PARAMETERS, "curve.*", *[EVENTS] * events]
    for pattern in patterns:
        for path in folder.glob(pattern):
            disk.remove(path)


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON, whole or not at all; a non-finite float becomes its name as a string.

    Args:
        path: the file; its folder must exist.
        value: of mappings, sequences and plain values.
    """
    disk.write(path, (json.dumps(_plain(value), indent=2, allow_nan=False) + "\n").encode())


def read_result(folder: Path) -> RunResult:
    """Read a run's result.

    Args:
        folder: the run folder.

    Raises:
        OSError: there is none.
        ValueError: it is damaged.
    """
    try:
        result = RunResult(**_values(json.loads((folder / RESULT).read_text(encoding="utf-8"))))
    except TypeError as error:
        raise ValueError(f"{folder / RESULT}: {error}") from error
    if not (MEASURED["initial"] <= set(result.initial) and MEASURED["final"] <= set(result.final)):
        raise ValueError(f"{folder / RESULT}: initial or final values are missing")
    return result


def read_finished(folder: Path, steps: int, eval_every: int) -> RunResult | None:
    """Read a run's result if the run came to its end and its metrics are there.

    Args:
        folder: the run folder.
        steps: how many it is to make, unless it solves its task or diverges.
        eval_every: steps between two test passes. A run that solved its task in the pass after its
            last step has not come to its end if it is to make more: it would not be tested there.
    """
    try:
        result = read_result(folder)
    except (OSError, ValueError):
        return None
    made = result.step >= steps
    ended = {
        "finished": made,
        "solved": made or result.step % eval_every == 0,
        "diverged": True,
        "interrupted": False,
    }[result.status]
    return result if ended and (folder / METRICS).is_file() else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _values(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_values(item) for item in value]
    if value in ("nan", "inf", "-inf"):
        return float(value)
    return value


@cache
def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    packages = ("torch", "numpy", "numba", "hydra-core", "tensorboard")
    return {
        "hw2exp": hw2exp.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "platform": platform.platform(),
    }
