"""A checkpoint of a run: verified before it is used.

``checkpoints/step_0000001000/`` holds the tensors (safetensors) and a manifest with the digest of
every file, its own included; ``checkpoints/metrics.rows`` the metrics so far, of which each
checkpoint knows how long they were. Nothing here is ever unpickled, and what a manifest says is
checked before it is believed.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from hw2exp import regular_file
from hw2exp.records.diagnostics import ADDED, COLUMNS, DiagnosticsTable
from hw2exp.records.manifest import (
    STATE,
    DamagedError,
    Facts,
    Manifest,
    Rows,
    sha256,
)
from hw2exp.records.metrics import CATALOG, MetricsTable
from hw2exp.records.parameters import tensors_of
from hw2exp.regular_file import IrregularError

ROWS = "metrics.rows"
SEEN = "diagnostics.rows"
MANIFEST = "manifest.json"
LARGEST_MANIFEST, LARGEST_STATE = 1 << 26, 1 << 34  # bytes

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
        content = content_of(self.folder.parent / name, LARGEST_STATE)[: about.bytes]
        if len(content) < about.bytes or sha256(content) != about.sha256:
            raise DamagedError(f"{name} is not what {MANIFEST} has the digest of")
        return content

    def metrics(self) -> MetricsTable:
        """The metrics up to its step.

        Raises:
            DamagedError: they are not what the manifest says.
        """
        return self._table(MetricsTable, ROWS, self.facts.rows, [list(CATALOG)])

    def diagnostics(self) -> DiagnosticsTable:
        """The diagnostics up to its step.

        Raises:
            DamagedError: they are not what the manifest says.
        """
        about, before = self.facts.diagnostics, [name for name in COLUMNS if name not in ADDED]
        return self._table(DiagnosticsTable, SEEN, about, [list(COLUMNS), before])

    def _table(
        self, kind: type[Table], name: str, about: Rows | None, versions: list[list[str]]
    ) -> Table:
        if about is not None and about.columns not in versions:
            raise DamagedError(f"has {name} of another version")
        try:
            table = kind.of_rows(self.rows(name, about))
        except ValueError as error:
            raise DamagedError(str(error)) from error
        if about is not None and len(table) != about.count:
            raise DamagedError(f"has {len(table)} rows in {name}, not {about.count}")
        if len(table) and not 1 <= table.steps[0] <= table.steps[-1] <= self.step:
            raise DamagedError(f"has a row in {name} of a step that was not made")
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
            content = content_of(self.folder.parent.parent / about.name, LARGEST_STATE)
        except (DamagedError, OSError):
            return False
        return len(content) >= about.bytes and sha256(content[: about.bytes]) == about.sha256

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The tensors.

        Raises:
            DamagedError: they are not what the manifest has the digest of, or no safetensors.
        """
        content = content_of(self.folder / STATE, LARGEST_STATE)
        if sha256(content) != self.manifest.files[STATE]:
            raise DamagedError(f"{STATE} is not what {MANIFEST} has the digest of")
        try:
            return tensors_of(content, STATE)
        except ValueError as error:
            raise DamagedError(str(error)) from error


def content_of(path: Path, largest: int) -> bytes:
    """Read a file that must be a regular one, and no link.

    Args:
        path: the file.
        largest: bytes that it may have.

    Raises:
        DamagedError: it is something else.
    """
    try:
        return regular_file.read(path, largest, links=False)
    except IrregularError as error:
        raise DamagedError(str(error)) from error
