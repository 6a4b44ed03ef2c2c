"""Read a checkpoint of a run, and verify it before use.

``checkpoints/step_0000001000/`` holds the tensors (safetensors) and a manifest with the digest of
every file, its own included. ``checkpoints/metrics.rows`` holds the metrics so far; each checkpoint
records their length. Nothing is ever unpickled, and manifests are checked before use.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from hw2exp.config.run_files import DIAGNOSTICS_ROWS, MANIFEST, METRICS_ROWS, STATE
from hw2exp.records.diagnostics import ADDED, COLUMNS, DiagnosticsTable
from hw2exp.records.manifest import DamagedError, Facts, Manifest, Rows, sha256
from hw2exp.records.metrics import CATALOG, MetricsTable
from hw2exp.records.parameters import tensors_of
from hw2exp.system import regular_file
from hw2exp.system.regular_file import IrregularError

LARGEST_MANIFEST, LARGEST_STATE = 1 << 26, 1 << 34  # bytes

Table = TypeVar("Table", MetricsTable, DiagnosticsTable)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk.

    Args:
        folder: the checkpoint's folder.
        manifest: its manifest.
    """

    folder: Path
    manifest: Manifest

    @property
    def step(self) -> int:
        """Return the last step before the checkpoint."""
        return self.manifest.step

    @property
    def facts(self) -> Facts:
        """Return the manifest's facts about the run."""
        return self.manifest.facts

    def rows(self, name: str, about: Rows | None) -> bytes:
        """Return the bytes of the metrics or diagnostics up to the checkpoint's step.

        Args:
            name: the file's name.
            about: the file's length and digest; None if there is no such file.

        Raises:
            DamagedError: the rows don't match the manifest's digest.
        """
        if about is None:
            return b""
        content = content_of(self.folder.parent / name, LARGEST_STATE)[: about.bytes]
        if len(content) < about.bytes or sha256(content) != about.sha256:
            raise DamagedError(f"{name} is not what {MANIFEST} has the digest of")
        return content

    def metrics(self) -> MetricsTable:
        """Return the metrics up to the checkpoint's step.

        Raises:
            DamagedError: the metrics don't match the manifest.
        """
        return self._table(MetricsTable, METRICS_ROWS, self.facts.rows, [list(CATALOG)])

    def diagnostics(self) -> DiagnosticsTable:
        """Return the diagnostics up to the checkpoint's step.

        Raises:
            DamagedError: the diagnostics don't match the manifest.
        """
        about, before = self.facts.diagnostics, [name for name in COLUMNS if name not in ADDED]
        return self._table(DiagnosticsTable, DIAGNOSTICS_ROWS, about, [list(COLUMNS), before])

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
        """Verify every file of which the manifest has a digest, except TensorBoard's.

        Raises:
            DamagedError: a file doesn't match its digest.
        """
        self.metrics()
        self.diagnostics()
        self._state()

    def knows_events(self) -> bool:
        """Return whether TensorBoard's file still begins as it did at the checkpoint."""
        about = self.facts.events
        try:
            content = content_of(self.folder.parent.parent / about.name, LARGEST_STATE)
        except (DamagedError, OSError):
            return False
        return len(content) >= about.bytes and sha256(content[: about.bytes]) == about.sha256

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the tensors by name.

        Raises:
            DamagedError: the file doesn't match its digest, or is no safetensors.
        """
        content = self._state()
        try:
            return tensors_of(content, STATE)
        except ValueError as error:
            raise DamagedError(str(error)) from error

    def _state(self) -> bytes:
        content = content_of(self.folder / STATE, LARGEST_STATE)
        if sha256(content) != self.manifest.files[STATE]:
            raise DamagedError(f"{STATE} is not what {MANIFEST} has the digest of")
        return content


def content_of(path: Path, largest: int) -> bytes:
    """Read a regular file of at most ``largest`` bytes; refuse links.

    Raises:
        DamagedError: the file is not regular, a link, or too large.
    """
    try:
        return regular_file.read(path, largest, links=False)
    except IrregularError as error:
        raise DamagedError(str(error)) from error
