"""Checkpoints of a run: verified before they are used, the last few kept.

``checkpoints/step_0000001000/`` holds the tensors (safetensors) and a manifest with the digest of
every file, its own included; ``checkpoints/metrics.rows`` the metrics so far, of which each
checkpoint knows how long they were. Nothing here is ever unpickled, and what a manifest says is
checked before it is believed.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hw2exp import disk

CHECKPOINTS = "checkpoints"
ROWS = "metrics.rows"
STATE: Final = "state.safetensors"
MANIFEST = "manifest.json"
LARGEST_MANIFEST, LARGEST_HEADER = 1 << 26, 1 << 20  # bytes
FOLDER = re.compile(r"step_(\d{10})")
EVENTS = r"^events\.out\.tfevents\.[\w.-]+$"

Tensors = Mapping[str, NDArray[Any]]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class DamagedError(ValueError):
    """A checkpoint that can't be used, and why."""


class Part(BaseModel):
    """A part of a manifest."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Rows(Part):
    """How long the metrics were, and what stood in them."""

    columns: list[str]
    count: Count
    bytes: Count
    sha256: Digest


class Events(Part):
    """How long TensorBoard's file was."""

    name: Annotated[str, Field(pattern=EVENTS)]
    bytes: Count


class Facts(Part):
    """What is known of a run besides its tensors.

    Args:
        config: the whole config, plain values.
        rows: of the metrics so far.
        events: of TensorBoard's file.
        spikes: the spikes so far, each as its fields in order.
        seconds: how long the run has taken.
    """

    config: dict[str, Any]
    rows: Rows
    events: Events
    spikes: list[tuple[int, int, int, float, float, bool]]
    seconds: float


class Manifest(Part):
    """What ``manifest.json`` holds, besides the digest of itself."""

    format: Literal[1]
    step: Annotated[int, Field(ge=1, lt=10**10)]
    files: dict[Literal["state.safetensors"], Digest]
    facts: Facts


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

    def rows(self) -> bytes:
        """The metrics up to its step.

        Raises:
            DamagedError: they are not what the manifest has the digest of.
        """
        about = self.facts.rows
        content = _read(self.folder.parent / ROWS)[: about.bytes]
        if len(content) < about.bytes or _sha256(content) != about.sha256:
            raise DamagedError(f"{ROWS} is not what {MANIFEST} has the digest of")
        return content

    def state(self) -> bytes:
        """The file of its tensors.

        Raises:
            DamagedError: it is not what the manifest has the digest of.
        """
        content = _read(self.folder / STATE)
        if _sha256(content) != self.manifest.files[STATE]:
            raise DamagedError(f"{STATE} is not what {MANIFEST} has the digest of")
        return content

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The tensors.

        Raises:
            DamagedError: they are not what the manifest has the digest of, or no safetensors.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        content = self.state()
        if int.from_bytes(content[:8], "little") > LARGEST_HEADER:
            raise DamagedError(f"{STATE} has too large a header")
        try:
            return load(content)
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise DamagedError(f"{STATE}: {error}") from error


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
    manifest = Manifest(format=1, step=step, files={STATE: _sha256(state)}, facts=facts)
    folder = run / CHECKPOINTS / f"step_{step:010d}"
    disk.publish(folder, {STATE: state, MANIFEST: _sealed(manifest)})
    for old in sorted(_folders(run), reverse=True)[keep:]:
        disk.remove(old)


def newest(run: Path, warn: Callable[[str], None]) -> Checkpoint | None:
    """Find the newest checkpoint of a run that can be used.

    Args:
        run: the run folder.
        warn: is told in a line of each newer one that can't.
    """
    for folder in sorted(_folders(run), reverse=True):
        try:
            found = Checkpoint(folder, _manifest(folder))
            found.rows(), found.state()
        except (DamagedError, OSError) as error:
            warn(f"{folder} can't be used: {error}")
        else:
            return found
    return None


def newest_manifest(run: Path) -> Manifest | None:
    """The newest manifest that can be read, whatever became of its tensors.

    Args:
        run: the run folder.
    """
    for folder in sorted(_folders(run), reverse=True):
        try:
            return _manifest(folder)
        except (DamagedError, OSError):
            continue
    return None


def discard_after(run: Path, step: int) -> None:
    """Remove what is newer than the step from which a run goes on, and what was cut off.

    Args:
        run: the run folder.
        step: the step; 0 where it begins anew.
    """
    folder = run / CHECKPOINTS
    if folder.is_dir() and not folder.is_symlink():
        disk.remove_parts(folder)
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
    manifest = _unsealed(_read(folder / MANIFEST, LARGEST_MANIFEST))
    if manifest.step != _step(folder):
        raise DamagedError(f"{MANIFEST} is of step {manifest.step}")
    return manifest


def _sealed(manifest: Manifest) -> bytes:
    """A manifest with the digest of the rest of it: each content has one such text only."""
    content = manifest.model_dump(mode="json")
    return _text({**content, "sha256": _sha256(_text(content))})


def _unsealed(text: bytes) -> Manifest:
    try:
        content = json.loads(text)
        digest = content.pop("sha256")
        whole = _sha256(_text(content)) == digest
        sound = whole and _text({**content, "sha256": digest}) == text
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DamagedError(f"{MANIFEST} can't be read") from error
    if not sound:
        raise DamagedError(f"{MANIFEST} is not what it has the digest of")
    try:
        return Manifest.model_validate_json(_text(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DamagedError(f"{MANIFEST}: {where}: {first['msg']}") from error


def _text(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, sort_keys=True, allow_nan=False) + "\n").encode()


def _read(path: Path, largest: int | None = None) -> bytes:
    """Read a file that is no link, and no device that never ends."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise DamagedError(f"{path.name} is no file")
        if largest is not None and about.st_size > largest:
            raise DamagedError(f"{path.name} is too large")
        return file.read()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
