"""Define the catalog of metrics, and a run's table of them."""

import hashlib
import math
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hw2exp.records.step_table import STEP, StepTable

if TYPE_CHECKING:
    import polars

Column = NDArray[np.float64]

INITIAL_LOSS, INITIAL_ACCURACY = math.log(4), 1 / 4
"""Loss and accuracy of a uniform guess among the four classes (write-up, part 1.3 d)."""

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

MISSING = np.float64("nan")

ROW = struct.Struct(f"<qq{len(CATALOG)}d")
"""A row in bytes: the step, a bit for each measured column, the columns."""


class MetricsTable(StepTable[float]):
    """The metrics of one run, one row for each logged step."""

    numbers = CATALOG
    added = ("update_norm_max",)

    def extend(self, steps: Sequence[int], rows: Sequence[Sequence[float]]) -> None:
        """Add rows.

        Args:
            steps: the training steps, rising, larger than the previous row's.
            rows: the values of each row's columns: the first ones of the catalog.

        Raises:
            ValueError: a step is out of order.
        """
        before = self._rows[-1][0] if self._rows else 0
        for step, values in zip(steps, rows, strict=True):
            if step <= before:
                raise ValueError(f"step {step} after step {before}")
            self._rows.append((step, dict(zip(CATALOG, values, strict=False))))
            before = step

    def rows(self, first: int) -> bytes:
        """Return rows as bytes.

        Args:
            first: the index of the first row to return.
        """
        parts = []
        for step, row in self._rows[first:]:
            measured = sum(1 << bit for bit, name in enumerate(CATALOG) if name in row)
            parts.append(ROW.pack(step, measured, *(row.get(name, 0.0) for name in CATALOG)))
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

    def column(self, name: str) -> Column:
        """Return a column, with NaN for missing values.

        Args:
            name: a name of the catalog.
        """
        return np.array([row.get(name, MISSING) for _, row in self._rows], dtype=np.float64)

    def last(self, name: str) -> float | None:
        """Return the last measured value of a column, or None.

        Args:
            name: a name of the catalog.
        """
        return next((row[name] for _, row in reversed(self._rows) if name in row), None)

    def digest(self) -> str:
        """Return ``metrics_sha256``, see :func:`digest_of_columns`."""
        rows = [[row.get(name, MISSING) for name in CATALOG] for _, row in self._rows]
        columns = np.array(rows, dtype=np.float64).reshape(-1, len(CATALOG)).T
        return digest_of_columns(self.steps, dict(zip(CATALOG, columns, strict=True)))


def digest_of_columns(steps: NDArray[np.int64], columns: Mapping[str, Column]) -> str:
    """Return the digest by which two runs are compared.

    Hash the columns in the order of their names, ``step`` among them: each name in UTF-8, then its
    values in step order, little-endian, 64 bits each. A missing value and a NaN both become the
    same quiet NaN. Times are not among the metrics.

    Args:
        steps: the logged steps, ``(rows,)``.
        columns: the other columns by name, with NaN for missing values, ``(rows,)`` each.
    """
    values = np.array([*columns.values()], dtype="<f8")  # (columns, rows)
    values[np.isnan(values)] = MISSING
    content = {STEP: steps.astype("<i8"), **dict(zip(columns, values, strict=True))}
    digest = hashlib.sha256()
    for name in sorted(content):
        digest.update(name.encode())
        digest.update(content[name].tobytes())
    return digest.hexdigest()


read_metrics = MetricsTable.read


def digest_of_frame(frame: "polars.DataFrame") -> str:
    """Return ``metrics_sha256`` of a frame.

    Args:
        frame: a run's metrics.
    """
    columns = {name: frame[name].to_numpy() for name in frame.columns if name != STEP}  # null: NaN
    return digest_of_columns(frame[STEP].to_numpy(), columns)
