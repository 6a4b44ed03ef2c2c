"""Write the rows of a run's table into a file that grows with every checkpoint."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from hw2exp.config.run_files import CHECKPOINTS
from hw2exp.records.checkpoint_file import Checkpoint
from hw2exp.records.diagnostics import DiagnosticsTable
from hw2exp.records.manifest import Rows
from hw2exp.records.metrics import MetricsTable
from hw2exp.system import disk


class RowsFile:
    """The file of a table's rows, to which each checkpoint appends the new ones.

    Args:
        name: the file's name.
        saved: the checkpoint that the run resumes from, if any.
        about: the file's length and digest in that checkpoint.
    """

    def __init__(
        self, name: str, saved: Checkpoint | None = None, about: Rows | None = None
    ) -> None:
        self.name = name
        content = saved.rows(name, about) if saved else b""
        self.count = about.count if about else 0
        self.bytes = len(content)
        self._digest = hashlib.sha256(content)

    def write(
        self, run: Path, table: MetricsTable | DiagnosticsTable, columns: Iterable[str]
    ) -> Rows:
        """Append the table's new rows; return the length and digest of the whole file.

        Args:
            run: the run folder.
            table: the whole table.
            columns: the names of its columns.
        """
        content = table.rows(self.count)
        disk.append(run / CHECKPOINTS / self.name, self.bytes, content)
        self.count, self.bytes = len(table), self.bytes + len(content)
        self._digest.update(content)
        return Rows(
            columns=list(columns),
            count=self.count,
            bytes=self.bytes,
            sha256=self._digest.hexdigest(),
        )
