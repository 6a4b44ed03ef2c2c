"""What diagnostics have measured: their catalog, and the table that one run fills with it."""

import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from hw2exp import disk, regular_file
from hw2exp.records.run_dir import DIAGNOSTICS

if TYPE_CHECKING:
    import polars

STEP = "step"

NUMBERS: dict[str, tuple[str, str]] = {
    "gradient_growth": (
        "gradient_flow/growth",
        "factor by which ‖∂ℓ/∂h[t]‖ grows with each time step back, by a fitted line",
    ),
    "gradient_growth_r2": ("gradient_flow/growth_r2", "R² of that line"),
    "gradient_largest": ("gradient_flow/largest", "largest ‖∂ℓ/∂h[t]‖ of all t"),
    "logit_size": ("logits/size", "root of the mean square of the readout's logits"),
    "gate_mean": ("gate/mean", "share of the state that stays: c of the gated RNN, f of the LSTM"),
    "gate_saturated": ("gate/saturated", "share of gates below 0.05 or above 0.95"),
    "attention_entropy": ("attention/entropy", "-Σ a ln a over the lags, in nats"),
    "score_size": ("attention/score_size", "largest size of a score before the softargmax"),
    "jacobian_largest": ("jacobian/largest", "largest norm of ∂h[t]/∂h[t-1] of all t"),
    "lyapunov": ("jacobian/lyapunov", "largest Lyapunov exponent along a sequence, a time step"),
    "lyapunov_spread": (
        "jacobian/lyapunov_spread",
        "how far that exponent lies from it, at most, from one of several directions to start from",
    ),
    "sharpness": ("sharpness/raw", "largest eigenvalue of the Hessian of this step's batch"),
    "sharpness_preconditioned": (
        "sharpness/preconditioned",
        "the same as the optimizer sees it: behind its preconditioner",
    ),
    "sharpness_limit": (
        "sharpness/limit",
        "the preconditioned sharpness above which the optimizer is unstable; 2/lr for plain SGD",
    ),
}
"""By column: the TensorBoard tag and the meaning."""

LISTS: dict[str, str] = {
    "gradient_flow": "‖∂ℓ/∂h[t]‖ over this step's batch, t = 1…T",
    "attention": "mean weight of the input, then of the state at each lag",
    "jacobian_norm": "largest singular value of ∂h[t]/∂h[t-1], t = 2…T",
    "jacobian_product": "largest singular value of ∂h[T]/∂h[t], t = 1…T-1",
}
"""By column, whose values are lists: the meaning."""

COLUMNS = (*NUMBERS, *LISTS)

ADDED = ("lyapunov_spread",)
"""Columns that files from before they were measured lack."""

LARGEST = 1 << 30  # bytes
MOST_ROWS = 1 << 24

Value = float | list[float]


class DiagnosticsTable:
    """The diagnostics of one run, a row a step at which any were due."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, dict[str, Value]]] = []

    def __iter__(self) -> Iterator[tuple[int, dict[str, Value]]]:
        """Each row: its step, and what was measured."""
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, step: int, row: Mapping[str, Value]) -> None:
        """Add a row.

        Args:
            step: the training step, larger than the row's before.
            row: values by column; what was not measured is left out.

        Raises:
            ValueError: a column that the catalog doesn't know, a list for a number or the other way
                round, or a step out of order.
        """
        if unknown := row.keys() - set(COLUMNS):
            raise ValueError(f"not in the catalog: {sorted(unknown)}")
        if wrong := [name for name in row if isinstance(row[name], list) != (name in LISTS)]:
            raise ValueError(f"a list for a number, or a number for a list: {wrong}")
        if self._rows and step <= self._rows[-1][0]:
            raise ValueError(f"step {step} after step {self._rows[-1][0]}")
        self._rows.append((step, dict(row)))

    def rows(self, first: int) -> bytes:
        """The rows from one on, as lines of JSON; numbers keep all their bits.

        Args:
            first: how many rows to leave out.
        """
        return "".join(json.dumps([step, row]) + "\n" for step, row in self._rows[first:]).encode()

    @classmethod
    def of_rows(cls, content: bytes) -> "DiagnosticsTable":
        """A table from the bytes of its rows.

        Args:
            content: what :meth:`rows` gave.

        Raises:
            ValueError: they are no rows.
        """
        table = cls()
        try:
            for line in content.splitlines():
                step, row = json.loads(line)
                if type(step) is not int or not all(map(_is_value, row.values())):
                    raise ValueError("a row of diagnostics is not of numbers")
                table.append(step, row)
        except (TypeError, AttributeError, RecursionError) as error:
            raise ValueError("the diagnostics are no rows") from error
        return table

    def list_column(self, name: str) -> tuple[list[int], list[list[float]]]:
        """Steps and values of a column of lists, where it was measured.

        Args:
            name: a name of ``LISTS``.
        """
        found = [(step, row[name]) for step, row in self._rows if name in row]
        return [step for step, _ in found], [value for _, value in found]  # type: ignore[misc]

    def write(self, folder: Path) -> None:
        """Write the table as Parquet; what was not measured is null.

        Args:
            folder: the run folder.
        """
        import polars

        number, numbers = polars.Float64, polars.List(polars.Float64)
        columns = [polars.Series(STEP, [step for step, _ in self._rows], dtype=polars.Int64)]
        columns += [
            polars.Series(
                name,
                [row.get(name) for _, row in self._rows],
                dtype=numbers if name in LISTS else number,
            )
            for name in COLUMNS
        ]
        content = BytesIO()
        polars.DataFrame(columns).write_parquet(content)
        disk.write(folder / DIAGNOSTICS, content.getvalue(), sync=False)


def _is_value(value: object) -> bool:
    return all(isinstance(each, float) for each in (value if isinstance(value, list) else [value]))


def read_diagnostics(folder: Path) -> "polars.DataFrame":
    """Read a run's diagnostics.

    Args:
        folder: the run folder.

    Raises:
        OSError: they can't be read.
        ValueError: they are damaged, or no diagnostics.
    """
    import polars
    from polars.exceptions import PanicException, PolarsError

    path = folder / DIAGNOSTICS
    content = regular_file.read(path, LARGEST)
    try:
        schema = polars.read_parquet_schema(BytesIO(content))
        lacking = [name for name in ADDED if name not in schema]
        if {*schema, *lacking} != {STEP, *COLUMNS}:
            raise ValueError(f"{path}: has other columns than diagnostics have")
        if wrong := [name for name, kind in schema.items() if not _fits(name, kind)]:
            raise ValueError(f"{path}: {', '.join(wrong)}: must be numbers, or lists of them")
        frame = polars.read_parquet(BytesIO(content), n_rows=MOST_ROWS)
        return frame.with_columns(polars.lit(None, polars.Float64).alias(name) for name in lacking)
    except (PolarsError, PanicException) as error:
        raise ValueError(f"{path}: {error}") from error


def _fits(name: str, kind: "polars.DataType") -> bool:
    import polars

    if name == STEP:
        return kind.is_integer()
    return kind == (polars.List(polars.Float64) if name in LISTS else polars.Float64)
