"""The checkpoints of a run, of which the last few are kept: written, found again, removed."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw2exp import disk
from hw2exp.config.folder import CHECKPOINTS, STEP
from hw2exp.config.problems import ConfigError
from hw2exp.config.recorded import CONFIG, completed
from hw2exp.config.resume import differences
from hw2exp.config.schema import TrainConfig
from hw2exp.records.checkpoint import (
    LARGEST_MANIFEST,
    MANIFEST,
    ROWS,
    SEEN,
    Checkpoint,
    content_of,
)
from hw2exp.records.manifest import (
    STATE,
    DamagedError,
    Facts,
    Manifest,
    sealed,
    sha256,
    unsealed,
)
from hw2exp.records.run_dir import CELL, METRICS, RESULT, read_result, versions
from hw2exp.regular_file import IrregularError, is_blank

COMPUTING = ("hw2exp", "torch", "numpy", "numba")
"""What bits may depend on."""

FOLDER = re.compile(STEP + r"(\d{10})")

Tensors = Mapping[str, NDArray[Any]]


def save(run: Path, step: int, tensors: Tensors, facts: Facts, keep: int) -> None:
    """Write a checkpoint, and remove what is older than the last few.

    Args:
        run: the run folder.
        step: the last step that it has seen.
        tensors: by name.
        facts: what is known besides.
        keep: how many stay.
    """
    from safetensors.numpy import save as to_bytes

    state = to_bytes({name: np.asarray(value, order="C") for name, value in tensors.items()})
    manifest = Manifest(format=1, step=step, files={STATE: sha256(state)}, facts=facts)
    folder = run / CHECKPOINTS / f"{STEP}{step:010d}"
    disk.publish(folder, {STATE: state, MANIFEST: sealed(manifest)})
    _prune(run, keep)


def _prune(run: Path, keep: int) -> None:
    """Remove all but the newest checkpoints."""
    for old in sorted(_folders(run), reverse=True)[keep:]:
        disk.remove(old)


def newest(
    run: Path, warn: Callable[[str], None], config: TrainConfig | None = None
) -> Checkpoint | None:
    """Find the newest checkpoint of a run that can be used.

    Args:
        run: the run folder.
        warn: is told in a line of each newer one that can't, and if what is used was made by other
            versions of what computes.
        config: the run's config, if the checkpoint must be of that.

    Raises:
        ConfigError: it is of a run that computes something else.
    """
    for folder in sorted(_folders(run), reverse=True):
        try:
            found = Checkpoint(folder, _manifest(folder))
            found.check()
            other = {} if config is None else _other(found.facts, config)
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


def check_goes_on(run: Path, config: TrainConfig, cell: str | None) -> None:
    """Refuse a run whose newest checkpoint, or whose result, is of something else.

    It reads one manifest and no tensors, so that all runs of a sweep can be checked before any of
    them is touched.

    Args:
        run: the run folder.
        config: what is to go on there.
        cell: digest of the code of a user's cell, if the model is one.

    Raises:
        ConfigError: what is there is of another config, of a cell with other code, or of nothing
            that is known.
    """
    known = not is_blank(run / CONFIG)
    for folder in sorted(_folders(run), reverse=True):
        try:
            facts = _manifest(folder).facts
            other = _other(facts, config)
        except (DamagedError, IrregularError, OSError):
            continue  # newest tells of it once the run goes on
        if other:
            raise _refused(run, folder, other)
        _check_cell(run, config, cell, facts.versions)
        known = True
        break
    try:
        result = read_result(run)
        if result.config and (other := differences(completed(result.config), config)):
            raise _refused(run, run / RESULT, other)
        _check_cell(run, config, cell, result.versions)
        known = known or bool(result.config)
    except (OSError, ValueError):  # damaged: it is made again
        known = known or not (run / RESULT).exists()
    if not known:
        raise ConfigError([f"resume={run}: has a result, but {run / CONFIG} is gone or empty"])


def _check_cell(run: Path, config: TrainConfig, cell: str | None, made: Mapping[str, str]) -> None:
    """Refuse a run of other code; what another version of Python has compiled tells nothing."""
    same_python = _minor(made.get("python", "")) == _minor(versions()["python"])
    if cell is not None and same_python and made.get(CELL, cell) != cell:
        what = f"resume={run}: was made by other code of model={config.model.name}"
        raise ConfigError([f"{what}; must be the code that it began with, or a new folder"])


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def _refused(run: Path, folder: Path, other: Mapping[str, str]) -> ConfigError:
    return ConfigError(f"resume={run}: {folder} has {text}" for text in other.values())


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{Path(error.filename).name}: {error.strerror}"
    return str(error)


def _other(facts: Facts, config: TrainConfig) -> dict[str, str]:
    """In what a checkpoint's run computes something else."""
    try:
        return differences(completed(facts.config), config)
    except ConfigError as error:
        raise DamagedError(f"its config: {' | '.join(error.problems)}") from error


def had_begun(run: Path) -> bool:
    """Whether a run has come so far that it had a checkpoint, or its records.

    Args:
        run: the run folder.
    """
    try:
        return (run / METRICS).exists() or any(_folders(run))
    except OSError:  # of a folder that may not be read: something is there
        return True


def discard_after(run: Path, step: int, keep: int) -> None:
    """Remove what is newer than the step from which a run goes on, too old, or cut off.

    Args:
        run: the run folder.
        step: the step; 0 where it begins anew.
        keep: how many checkpoints stay.
    """
    folder = run / CHECKPOINTS
    if folder.is_dir() and not folder.is_symlink():
        disk.remove_parts(folder)
        if step == 0:
            disk.remove(folder / ROWS)
            disk.remove(folder / SEEN)
        for path in list(_folders(run)):
            if _step(path) > step:
                disk.remove(path)
        _prune(run, keep)


def _folders(run: Path) -> Iterator[Path]:
    root = run / CHECKPOINTS
    if root.is_dir() and not root.is_symlink():
        yield from (path for path in root.iterdir() if FOLDER.fullmatch(path.name))


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix(STEP))


def _manifest(folder: Path) -> Manifest:
    if folder.is_symlink():
        raise DamagedError("it is a link")
    manifest = unsealed(content_of(folder / MANIFEST, LARGEST_MANIFEST))
    if manifest.step != _step(folder):
        raise DamagedError(f"{MANIFEST} is of step {manifest.step}")
    return manifest
