"""Write, find and remove the checkpoints of a run; the last few are kept."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw2exp.config.own_code import own_choices
from hw2exp.config.recorded import completed
from hw2exp.config.resume import differences
from hw2exp.config.run_files import (
    CHECKPOINT_BEGINS,
    CHECKPOINTS,
    CONFIG,
    DIAGNOSTICS_ROWS,
    MANIFEST,
    METRICS,
    METRICS_ROWS,
    RESULT,
    STATE,
)
from hw2exp.config.schema import TrainConfig
from hw2exp.records.checkpoint_file import LARGEST_MANIFEST, Checkpoint, content_of
from hw2exp.records.manifest import DamagedError, Facts, Manifest, sealed, sha256, unsealed
from hw2exp.records.run_dir import read_result, versions
from hw2exp.system import disk
from hw2exp.system.problems import ConfigError
from hw2exp.system.regular_file import IrregularError, is_blank
from hw2exp.system.terminal import warn as note

COMPUTING = ("hw2exp", "torch", "numpy", "numba")
"""The packages that a run's bits may depend on."""

FOLDER = re.compile(CHECKPOINT_BEGINS + r"(\d{10})")

Tensors = Mapping[str, NDArray[Any]]


def save(run: Path, step: int, tensors: Tensors, facts: Facts, keep: int) -> None:
    """Write a checkpoint, and remove all but the newest few.

    Args:
        run: the run folder.
        step: the last step before the checkpoint.
        tensors: the tensors by name.
        facts: the facts about the run for the manifest.
        keep: the number of checkpoints to keep.
    """
    from safetensors.numpy import save as to_bytes

    state = to_bytes({name: np.asarray(value, order="C") for name, value in tensors.items()})
    manifest = Manifest(format=1, step=step, files={STATE: sha256(state)}, facts=facts)
    folder = run / CHECKPOINTS / f"{CHECKPOINT_BEGINS}{step:010d}"
    disk.publish(folder, {STATE: state, MANIFEST: sealed(manifest)})
    _prune(run, keep)


def _prune(run: Path, keep: int) -> None:
    """Remove all but the newest checkpoints."""
    for old in sorted(_folders(run), reverse=True)[keep:]:
        disk.remove(old)


def newest(
    run: Path,
    warn: Callable[[str], None],
    config: TrainConfig | None = None,
    check_fits: Callable[[Checkpoint, TrainConfig], None] | None = None,
    before: int | None = None,
) -> Checkpoint | None:
    """Return the newest usable checkpoint of a run, or None.

    Args:
        run: the run folder.
        warn: the function that receives a line for each newer, unusable checkpoint, and for each
            package of ``COMPUTING`` whose version differs from the checkpoint's.
        config: the run's config, if the checkpoint must agree with it.
        check_fits: a function that raises ``DamagedError`` if a run of that config can't resume
            from a checkpoint.
        before: the step before which the checkpoint must be; None: the newest of all.

    Raises:
        ConfigError: the checkpoint is of a run that computes something else.
    """
    for folder in sorted(_folders(run), reverse=True):
        if before is not None and _step(folder) >= before:
            continue
        try:
            found = Checkpoint(folder, _manifest(folder))
            found.check()
            other = {} if config is None else _other(found.facts, config)
            if check_fits is not None and config is not None and not other:
                check_fits(found, config)
        except (DamagedError, IrregularError, OSError) as error:
            warn(f"{folder} can't be used: {_why(error)}")
            continue
        if other:
            raise _refused(run, folder, other)
        for name, version in found.facts.versions.items():
            if name in COMPUTING and version != (now := versions().get(name)):
                warn(f"{folder} was made with {name} {version}, not {now}: bits may differ")
        return found
    return None


def check_can_resume(run: Path, config: TrainConfig) -> None:
    """Refuse to resume a run whose newest checkpoint or result disagrees with the config.

    Read one manifest and no tensors, so that all runs of a sweep can be checked before any run is
    changed.

    Args:
        run: the run folder.
        config: the config of the run to resume there.

    Raises:
        ConfigError: the folder has another config, other code, or a result without
            any record of its config.
    """
    known = not is_blank(run / CONFIG)
    for folder in sorted(_folders(run), reverse=True):
        try:
            facts = _manifest(folder).facts
            other = _other(facts, config)
        except (DamagedError, IrregularError, OSError):
            continue  # newest() warns of this checkpoint when the run resumes
        if other:
            raise _refused(run, folder, other)
        _check_code(run, config, facts.versions)
        known = True
        break
    try:
        result = read_result(run)
        if result.config and (other := _of_result(run, result.config, config)):
            raise _refused(run, run / RESULT, other)
        _check_code(run, config, result.versions)
        known = known or bool(result.config)
    except (OSError, ValueError):  # a damaged result is written again
        known = known or not (run / RESULT).exists()
    if not known:
        raise ConfigError([f"resume={run}: has a result, but {run / CONFIG} is gone or empty"])


def _of_result(run: Path, values: Mapping[str, Any], config: TrainConfig) -> dict[str, str]:
    """Return how the config in a run's result differs, by key."""
    try:
        return differences(completed(values), config)
    except ConfigError as error:
        what = f"resume={run}: {run / RESULT} has an unusable config"
        raise ConfigError(f"{what}: {problem}" for problem in error.problems) from error


def other_code(config: TrainConfig, made: Mapping[str, str]) -> list[str]:
    """Return the user's choices whose code has changed since a run was made.

    Digests of code compare only within one minor version of Python; else none counts as changed.

    Args:
        config: the config of the run.
        made: the versions in the run's records.
    """
    if _minor(made.get("python", "")) != _minor(versions()["python"]):
        return []
    own = own_choices([config])
    return [choice for choice, digest in own.items() if made.get(choice, digest) != digest]


def _check_code(run: Path, config: TrainConfig, made: Mapping[str, str]) -> None:
    """Refuse a run that was made by other code; only note it under ``trust_changed``."""
    if not (changed := other_code(config, made)):
        return
    what = f"resume={run}: was made by other code of {', '.join(changed)}"
    if config.trust_changed:
        note(f"{what}, which trust_changed=true allows")
        return
    raise ConfigError(
        [f"{what}; must be the code that it began with, or a new folder, or trust_changed=true"]
    )


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _refused(run: Path, folder: Path, other: Mapping[str, str]) -> ConfigError:
    return ConfigError(f"resume={run}: {folder} has {text}" for text in other.values())


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{Path(error.filename).name}: {error.strerror}"
    return str(error)


def _other(facts: Facts, config: TrainConfig) -> dict[str, str]:
    """Return the differences in computation between a checkpoint's config and another one."""
    try:
        return differences(completed(facts.config), config)
    except ConfigError as error:
        raise DamagedError(f"its config: {' | '.join(error.problems)}") from error


def had_begun(run: Path) -> bool:
    """Return whether a run has a checkpoint or metrics."""
    try:
        return (run / METRICS).exists() or any(_folders(run))
    except OSError:  # an unreadable folder counts as begun
        return True


def discard_after(run: Path, step: int, keep: int) -> None:
    """Remove checkpoints that are newer than the resumed step, too old, or incomplete.

    Args:
        run: the run folder.
        step: the step that the run resumes from; 0 if it starts over.
        keep: the number of checkpoints to keep.
    """
    folder = run / CHECKPOINTS
    if folder.is_dir() and not folder.is_symlink():
        disk.remove_parts(folder)
        if step == 0:
            disk.remove(folder / METRICS_ROWS)
            disk.remove(folder / DIAGNOSTICS_ROWS)
        for path in list(_folders(run)):
            if _step(path) > step:
                disk.remove(path)
        _prune(run, keep)


def _folders(run: Path) -> Iterator[Path]:
    root = run / CHECKPOINTS
    if root.is_dir() and not root.is_symlink():
        yield from (path for path in root.iterdir() if FOLDER.fullmatch(path.name))


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix(CHECKPOINT_BEGINS))


def _manifest(folder: Path) -> Manifest:
    if folder.is_symlink():
        raise DamagedError("it is a link")
    manifest = unsealed(content_of(folder / MANIFEST, LARGEST_MANIFEST))
    if manifest.step != _step(folder):
        raise DamagedError(f"{MANIFEST} is of step {manifest.step}")
    return manifest
