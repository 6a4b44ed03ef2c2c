"""Define the result of a run, and read it."""

import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from hw2exp.config.own_code import own_code
from hw2exp.config.run_files import METRICS, PARAMETERS, RESULT
from hw2exp.config.schema import LAST_STEP, TrainConfig
from hw2exp.system import regular_file
from hw2exp.system.problems import faults
from hw2exp.system.regular_file import is_blank
from hw2exp.system.version import VERSION

Status = Literal["finished", "solved", "diverged", "pruned", "interrupted"]
TrainingPath = Literal["compiled", "closed form", "autograd"]

LARGEST_RESULT = 1 << 26  # bytes
PARTS = {
    "initial": ("loss", "accuracy"),
    "final": ("train_loss", "test_loss", "test_accuracy"),
    "explosions": ("steps", "followed", "watched", "soon_after"),
}
"""The parts of a result that are mappings, with the keys that each must have."""
NOT_FINITE = ("nan", "inf", "-inf")

Count = Annotated[int, Field(ge=0, le=LAST_STEP)]
Step = Annotated[int, Field(ge=1, le=LAST_STEP)]


def _number(value: Any) -> Any:
    return float(value) if value in NOT_FINITE else value


Number = Annotated[float, BeforeValidator(_number)]


@dataclass(frozen=True)
class RunResult:
    """The contents of ``result.json``.

    Args:
        status: the way in which the run ended.
        step: the run's last step.
        diverged_at: the step at which the run turned non-finite, if any.
        solved_at: the step of the first test pass that counts as solved, if any; later passes may
            have failed.
        initial: ``loss`` and ``accuracy`` before training.
        final: the last ``train_loss``, ``test_loss`` and ``test_accuracy``.
        spikes: the spikes of the training loss.
        parameters_sha256: the digest of the final parameters.
        metrics_sha256: the digest of the metrics.
        seconds: the run's duration in seconds.
        versions: the versions of the software and the platform.
        explosions: the number of ``steps`` with an exploding gradient, the number of these soon
            before a spike (``followed``), the number of steps ``watched`` for spikes, and the
            number of these ``soon_after`` an explosion; empty in older records.
        ends_solved: whether the run solved its task and its last test pass still reached the
            accuracy that counts as solved; None in older records.
        config: the run's config without the knobs that may change on resume; empty in older
            records.
        training_path: the code by which the run trained last: ``compiled`` steps, or plain steps
            with gradients by ``closed form`` or by ``autograd``; None in older records.
        pruned_at: the step at which the run left because its arm was behind, if it was pruned.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    status: Status
    step: Step
    diverged_at: Step | None
    solved_at: Step | None
    initial: Mapping[str, Number]
    final: Mapping[str, Number | None]
    spikes: Sequence[Mapping[str, Any]]
    parameters_sha256: str
    metrics_sha256: str
    seconds: Number
    versions: Mapping[str, str]
    explosions: Mapping[str, Count] = field(default_factory=dict)
    ends_solved: bool | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    training_path: TrainingPath | None = None
    pruned_at: Step | None = None

    def final_or(self, name: str, worst: float) -> float:
        """Return a final value, or the worst one if it is unknown or the run diverged.

        Args:
            name: a key of ``final``.
            worst: the worst possible value.
        """
        value = self.final[name]
        unknown = value is None or math.isnan(value) or self.diverged_at is not None
        return worst if unknown or value is None else value


class _Spike(BaseModel):
    """The fields of a spike; ``after_explosion`` is missing if the result has no ``explosions``."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    step: Step
    start: Step
    end: Step
    loss: float
    median: float
    above_initial: bool
    after_explosion: bool | None = None


_RESULT, _SPIKES = TypeAdapter(RunResult), TypeAdapter(list[_Spike])


def read_result(folder: Path) -> RunResult:
    """Read a run's result.

    Raises:
        OSError: there is no result, or it can't be read.
        ValueError: the result is damaged.
    """
    path = folder / RESULT
    content = regular_file.read(path, LARGEST_RESULT)
    try:
        result = _RESULT.validate_json(content, strict=True)
        spikes = _SPIKES.validate_python(result.spikes)
    except ValidationError as error:
        raise ValueError(f"{path}: {faults(error)[0]}") from error
    for name, keys in PARTS.items():
        found = getattr(result, name)
        if not set(keys) <= set(found) and (found or name != "explosions"):
            raise ValueError(f"{path}: {name}: must have {', '.join(sorted(keys))}")
    steps = [step for spike in spikes for step in (spike.start, spike.step, spike.end)]
    if any(not each.start <= each.step <= each.end for each in spikes):
        raise ValueError(f"{path}: spikes: start, step and end must be in this order")
    if (result.status == "pruned") != (result.pruned_at is not None):
        raise ValueError(f"{path}: pruned_at: must be there if the status is pruned, and only then")
    steps += [result.diverged_at or 0, result.solved_at or 0, result.pruned_at or 0]
    if max(steps) > result.step:
        raise ValueError(f"{path}: speaks of steps behind the run's last one, {result.step}")
    if result.explosions and any(spike.after_explosion is None for spike in spikes):
        raise ValueError(f"{path}: spikes: must have after_explosion")
    return result


def read_finished(folder: Path, steps: int, eval_every: int) -> RunResult | None:
    """Return a run's result if the run has ended and its files are there, or None.

    Args:
        folder: the run folder.
        steps: the number of steps to make, unless the run solves its task or diverges.
        eval_every: steps between two test passes. A run that solved its task only in the extra
            pass after its last step hasn't ended if ``steps`` is larger now: a longer run would
            have no test there.
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
        "pruned": True,
        "interrupted": False,
    }[result.status]
    whole = not any(is_blank(folder / name) for name in (METRICS, PARAMETERS))
    return result if ended and whole else None


def made_with(config: TrainConfig) -> dict[str, str]:
    """Return the versions that a result depends on, with digests of the user's choices' code.

    Args:
        config: the config of the run.
    """
    return versions() | own_code(config)


@cache
def versions() -> dict[str, str]:
    """Return the versions that a result depends on, with the commit in a checkout."""
    packages = ("torch", "numpy", "numba", "hydra-core", "tensorboard")
    return {
        "hw2exp": VERSION,
        **({"commit": own} if (own := commit(Path(__file__).parents[2])) else {}),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "platform": platform.platform(),
    }


def commit(checkout: Path) -> str | None:
    """Return the commit of a checkout, ending in ``-dirty`` if tracked files differ from it.

    Returns:
        The commit, or None if the folder is not the root of a checkout or git fails.
    """
    if not (checkout / ".git").exists():
        return None
    words = ["git", "-C", str(checkout), "--no-optional-locks", "describe"]
    words += ["--always", "--dirty", "--abbrev=40", "--exclude=*"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(words, env=plain, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
