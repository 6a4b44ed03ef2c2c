"""Checkpoints of a run: verified before they are used, the last few kept.

``checkpoints/step_0000001000/`` holds the tensors (safetensors) and a manifest with the digest of
every file, its own included; ``checkpoints/metrics.rows`` the metrics so far, of which each
checkpoint knows how long they were. Nothing here is ever unpickled, and what a manifest says is
checked before it is believed.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hw2exp import disk, regular_file
from hw2exp.config.problems import ConfigError
from hw2exp.config.recorded import completed
from hw2exp.config.resume import differences
from hw2exp.config.schema import TrainConfig
from hw2exp.records.diagnostics import COLUMNS, DiagnosticsTable
from hw2exp.records.manifest import (
    STATE,
    DamagedError,
    Facts,
    Manifest,
    Rows,
    sealed,
    sha256,
    unsealed,
)
from hw2exp.records.metrics import CATALOG, MetricsTable
from hw2exp.records.parameters import tensors_of
from hw2exp.records.run_dir import METRICS, versions
from hw2exp.regular_file import IrregularError

CHECKPOINTS = "checkpoints"
ROWS = "metrics.rows"
SEEN = "diagnostics.rows"
MANIFEST = "manifest.json"
LARGEST_MANIFEST, LARGEST_STATE = 1 << 26, 1 << 34  # bytes
COMPUTING = ("hw2exp", "torch", "numpy", "numba")
"""What bits may depend on."""

FOLDER = re.compile(r"step_(\d{10})")

Tensors = Mapping[str, NDArray[Any]]
Table = TypeVar("Table", MetricsTable, DiagnosticsTable)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose digests were right when it was looked at.

    Args:
        folder: its own folder.
        manifest: what it says of itself.
    """

    folder: Path
    manifest: Manifest

    @property
    def step(self) -> int:
        """The last step that it has seen."""
        return self.manifest.step

    @property
    def facts(self) -> Facts:
        """What is known besides the tensors."""
        return self.manifest.facts

    def rows(self, name: str, about: Rows | None) -> bytes:
        """The metrics, or the diagnostics, up to its step.

        Args:
            name: of the file.
            about: what is known of it; nothing if there is none.

        Raises:
            DamagedError: they are not what the manifest has the digest of.
        """
        if about is None:
            return b""
        content = _content(self.folder.parent / name, LARGEST_STATE)[: about.bytes]
        if len(content) < about.bytes or sha256(content) != about.sha256:
            raise DamagedError(f"{name} is not what {MANIFEST} has the digest of")
        return content

    def metrics(self) -> MetricsTable:
        """The metrics up to its step.

        Raises:
            DamagedError: they are not what the manifest says.
        """
        return self._table(MetricsTable, ROWS, self.facts.rows, list(CATALOG))

    def diagnostics(self) -> DiagnosticsTable:
        """The diagnostics up to its step.

        Raises:
            DamagedError: they are not what the manifest says.
        """
        about = self.facts.diagnostics
        return self._table(DiagnosticsTable, SEEN, about, list(COLUMNS))

    def _table(self, kind: type[Table], name: str, about: Rows | None, columns: list[str]) -> Table:
        if about is not None and about.columns != columns:
            raise DamagedError(f"has {name} of another version")
        try:
            table = kind.of_rows(self.rows(name, about))
        except ValueError as error:
            raise DamagedError(str(error)) from error
        if about is not None and len(table) != about.count:
            raise DamagedError(f"has {len(table)} rows in {name}, not {about.count}")
        return table

    def check(self) -> None:
        """Read all that the manifest has digests of.

        Raises:
            DamagedError: something is not what it was.
        """
        self.metrics()
        self.diagnostics()
        with regular_file.opened(self.folder / STATE, LARGEST_STATE, links=False) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.manifest.files[STATE]:
                raise DamagedError(f"{STATE} is not what {MANIFEST} has the digest of")

    def knows_events(self) -> bool:
        """Whether TensorBoard's file begins with what it was then; if not, it can be made again."""
        about = self.facts.events
        try:
            content = _content(self.folder.parent.parent / about.name, LARGEST_STATE)
        except (DamagedError, OSError):
            return False
        return len(content) >= about.bytes and sha256(content[: about.bytes]) == about.sha256

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The tensors.

        Raises:
            DamagedError: they are not what the manifest has the digest of, or no safetensors.
        """
        content = _content(self.folder / STATE, LARGEST_STATE)
        if sha256(content) != self.manifest.files[STATE]:
            raise DamagedError(f"{STATE} is not what {MANIFEST} has the digest of")
        try:
            return tensors_of(content, STATE)
        except ValueError as error:
            raise DamagedError(str(error)) from error


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
    folder = run / CHECKPOINTS / f"step_{step:010d}"
    disk.publish(folder, {STATE: state, MANIFEST: sealed(manifest)})
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
            other = {} if config is None else _other(found, config)
        except (DamagedError, IrregularError, OSError) as error:
            warn(f"{folder} can't be used: {_why(error)}")
            continue
        if other:
            raise ConfigError(f"resume={run}: {folder} has {text}" for text in other.values())
        for name, version in found.facts.versions.items():
            if name in COMPUTING and version != (now := versions().get(name)):
                warn(f"{folder} was made with {name} {version}, not {now}: bits may differ")
        return found
    return None


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{Path(error.filename).name}: {error.strerror}"
    return str(error)


def _other(found: Checkpoint, config: TrainConfig) -> dict[str, str]:
    """In what a checkpoint's run computes something else."""
    try:
        return differences(completed(found.facts.config), config)
    except ConfigError as error:
        raise DamagedError(f"its config: {' | '.join(error.problems)}") from error


def had_begun(run: Path) -> bool:
    """Whether a run has come so far that it had a checkpoint, or its records.

    Args:
        run: the run folder.
    """
    return (run / METRICS).exists() or any(_folders(run))


def discard_after(run: Path, step: int) -> None:
    """Remove what is newer than the step from which a run goes on, and what was cut off.

    Args:
        run: the run folder.
        step: the step; 0 where it begins anew.
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


def _folders(run: Path) -> Iterator[Path]:
    root = run / CHECKPOINTS
    if root.is_dir() and not root.is_symlink():
        yield from (path for path in root.iterdir() if FOLDER.fullmatch(path.name))


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("step_"))


def _manifest(folder: Path) -> Manifest:
    if folder.is_symlink():
        raise DamagedError("it is a link")
    manifest = unsealed(_content(folder / MANIFEST, LARGEST_MANIFEST))
    if manifest.step != _step(folder):
        raise DamagedError(f"{MANIFEST} is of step {manifest.step}")
    return manifest


def _content(path: Path, largest: int) -> bytes:
    try:
        return regular_file.read(path, largest, links=False)
    except IrregularError as error:
        raise DamagedError(str(error)) from error
