"""Define the catalog of metrics, and a run's table of them."""

import hashlib
import struct
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hw2exp.records.parquet import read_table
from hw2exp.system import disk

if TYPE_CHECKING:
    import polars

Column = NDArray[np.float64]

STEP = "step"

CATALOG: dict[str, tuple[str, str]] = {
    "loss_train": ("loss/train", "loss of this step's batch"),
    "loss_train_max": ("loss/train_max", "largest such loss since the row before, NaN left out"),
    "accuracy_train": ("accuracy/train", "accuracy, mean over the steps since the row before"),
    "grad_norm_raw": ("grad_norm/raw", "norm of this step's whole gradient"),
    "grad_norm_raw_max": (
        "grad_norm/raw_max",
        "largest such norm since the row before, NaN left out",
    ),
    "grad_norm_clipped": ("grad_norm/clipped", "norm of this step's gradient after clipping"),
    "update_norm_max": (
        "update_norm/max",
        "largest step that the parameters made since the row before, NaN left out",
    ),
    "lr": ("lr", "learning rate of this step"),
    "loss_test": ("loss/test", "loss, mean over a test pass"),
    "loss_test_last": ("loss/test_last", "loss of a test pass's last batch"),
    "accuracy_test": ("accuracy/test", "accuracy, mean over a test pass"),
}
"""The TensorBoard tag and the meaning of each column. Test columns are missing without a test."""

LATER = {"update_norm_max"}
"""Columns that older files lack."""

MISSING = np.float64("nan")

ROW = struct.Struct(f"<qq{len(CATALOG)}d")
"""A row in bytes: the step, a bit for each measured column, the columns."""


class MetricsTable:
    """The metrics of one run, one row for each logged step."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._columns: dict[str, list[float | None]] = {name: [] for name in CATALOG}

    def __iter__(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Iterate over the rows: the step, and the measured values by column."""
        for place, step in enumerate(self._steps):
            values = {name: column[place] for name, column in self._columns.items()}
            yield step, {name: value for name, value in values.items() if value is not None}

    def __len__(self) -> int:
        return len(self._steps)

    def append(self, step: int, row: Mapping[str, float]) -> None:
        """Add a row.

        Args:
            step: the training step, larger than the previous row's.
            row: the measured values by column.

        Raises:
            ValueError: a column is not in the catalog, or the step is out of order.
        """
        if unknown := row.keys() - CATALOG.keys():
            raise ValueError(f"not in the catalog: {sorted(unknown)}")
        if self._steps and step <= self._steps[-1]:
            raise ValueError(f"step {step} after step {self._steps[-1]}")
        self._steps.append(step)
        for name, column in self._columns.items():
            column.append(float(row[name]) if name in row else None)

    def rows(self, first: int) -> bytes:
        """Return rows as bytes.

        Args:
            first: the index of the first row to return.
        """
        columns = list(self._columns.values())
        parts = []
        for place in range(first, len(self)):
            values = [column[place] for column in columns]
            measured = sum(1 << bit for bit, value in enumerate(values) if value is not None)
            numbers = [0.0 if value is None else value for value in values]
            parts.append(ROW.pack(self._steps[place], measured, *numbers))
        return b"".join(parts)

    @classmethod
    def of_rows(cls, content: bytes) -> "MetricsTable":
        """Build a table from the bytes of its rows.

        Args:
            content: the bytes that :meth:`rows` returned.

        Raises:
            ValueError: the content is cut off, or its steps are out of order.
        """
        table = cls()
        if len(content) % ROW.size:
            raise ValueError("the metrics are cut off within a row")
        for step, measured, *values in ROW.iter_unpack(content):
            row = {n: v for bit, (n, v) in enumerate(zip(CATALOG, values, strict=True))
                   if measured >> bit & 1}  # fmt: skip
            table.append(step, row)
        return table

    @classmethod
    def of_frame(cls, frame: "polars.DataFrame") -> "MetricsTable":
        """Build a table from a frame.

        Args:
            frame: the metrics, as read from a file.
        """
        table = cls()
        for row in frame.iter_rows(named=True):
            step = row.pop(STEP)
            table.append(step, {name: value for name, value in row.items() if value is not None})
        return table

    @property
    def steps(self) -> NDArray[np.int64]:
        """Return the logged steps."""
        return np.array(self._steps, dtype=np.int64)

    def column(self, name: str) -> Column:
        """Return a column, with NaN for missing values.

        Args:
            name: a name of the catalog.
        """
        return np.array(
            [MISSING if value is None else value for value in self._columns[name]], dtype=np.float64
        )

    def last(self, name: str) -> float | None:
        """Return the last measured value of a column, or None.

        Args:
            name: a name of the catalog.
        """
        measured = [value for value in self._columns[name] if value is not None]
        return measured[-1] if measured else None

    def write(self, path: Path) -> None:
        """Write the table as Parquet; missing values are null, a measured NaN stays NaN.

        Args:
            path: the file.
        """
        import polars

        columns = [polars.Series(STEP, self._steps, dtype=polars.Int64)]
        columns += [
            polars.Series(name, values, dtype=polars.Float64)
            for name, values in self._columns.items()
        ]
        content = BytesIO()
        polars.DataFrame(columns).write_parquet(content)
        disk.write(path, content.getvalue(), sync=False)

    def digest(self) -> str:
        """Return ``metrics_sha256``, see :func:`digest_of_columns`."""
        return digest_of_columns(self.steps, {name: self.column(name) for name in CATALOG})


def digest_of_columns(steps: NDArray[np.int64], columns: Mapping[str, Column]) -> str:
    """Return the digest by which two runs are compared.

    Hash the columns in the order of their names, ``step`` among them: each name in UTF-8, then its
    values in step order, little-endian, 64 bits each. A missing value and a NaN both become the
    same quiet NaN. Times are not among the metrics.

    Args:
        steps: the logged steps.
        columns: the other columns by name, with NaN for missing values.
    """
    digest = hashlib.sha256()
    for name in sorted([STEP, *columns]):
        digest.update(name.encode())
        if name == STEP:
            digest.update(steps.astype("<i8").tobytes())
        else:
            values = columns[name].astype("<f8")
            values[np.isnan(values)] = MISSING
            digest.update(values.tobytes())
    return digest.hexdigest()


def read_metrics(path: Path) -> "polars.DataFrame":
    """Read a run's metrics.

    Args:
        path: the run's ``metrics.parquet``.

    Raises:
        OSError: the file can't be read.
        ValueError: the file is damaged, or holds no metrics.
    """
    frame = read_table(path, _no_metrics)
    steps = frame[STEP]
    rising = steps.is_sorted() and steps.is_unique().all()
    if steps.null_count() or not rising or (steps < 1).any():
        raise ValueError(f"{path}: {STEP}: must rise from 1 on")
    return frame


def _no_metrics(schema: "Mapping[str, polars.DataType]") -> str | None:
    if unknown := schema.keys() - {STEP, *CATALOG}:
        return f"not in the catalog: {sorted(unknown)}"
    if lacking := {STEP, *CATALOG} - LATER - schema.keys():
        return f"has no {', '.join(sorted(lacking))}"
    if not schema[STEP].is_integer():
        return f"{STEP}: must be integers"
    if other := [n for n, kind in schema.items() if not (kind.is_float() or kind.is_integer())]:
        return f"{', '.join(other)}: must be numbers"
    return None


def digest_of_parquet(path: Path) -> str:
    """Return ``metrics_sha256`` of a file.

    Args:
        path: a run's ``metrics.parquet``.
    """
    return digest_of_frame(read_metrics(path))


def digest_of_frame(frame: "polars.DataFrame") -> str:
    """Return ``metrics_sha256`` of a frame.

    Args:
        frame: a run's metrics.
    """
    columns = {name: frame[name].to_numpy() for name in frame.columns if name != STEP}  # null: NaN
    return digest_of_columns(frame[STEP].to_numpy(), columns)
