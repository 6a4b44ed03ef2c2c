"""Define the catalog of diagnostics, and a run's table of them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from hw2exp.config.run_files import DIAGNOSTICS
from hw2exp.records.step_table import StepTable, Value

if TYPE_CHECKING:
    import polars

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
"""The TensorBoard tag and the meaning of each column of numbers."""

LISTS: dict[str, str] = {
    "gradient_flow": "‖∂ℓ/∂h[t]‖ over this step's batch, t = 1…T",
    "attention": "mean weight of the input, then of the state at each lag",
    "jacobian_norm": "largest singular value of ∂h[t]/∂h[t-1], t = 2…T",
    "jacobian_product": "largest singular value of ∂h[T]/∂h[t], t = 1…T-1",
}
"""The meaning of each column of lists."""

COLUMNS = (*NUMBERS, *LISTS)

METRIC = "metric."
"""The beginning of the names of a metric's columns."""


def tag_of(name: str) -> str:
    """Return the TensorBoard tag of a column of numbers."""
    return NUMBERS[name][0] if name in NUMBERS else name.replace(METRIC, "metric/", 1)


ADDED = ("lyapunov_spread",)
"""Columns that older files lack."""


class DiagnosticsTable(StepTable[Value]):
    """The diagnostics of one run, one row for each step with a measurement."""

    numbers, lists, added, further = NUMBERS, LISTS, ADDED, METRIC

    def rows(self, first: int) -> bytes:
        """Return the rows from an index on as lines of JSON; numbers keep all their bits."""
        return "".join(json.dumps([step, row]) + "\n" for step, row in self._rows[first:]).encode()

    @classmethod
    def of_rows(cls, content: bytes) -> "DiagnosticsTable":
        """Build a table from the bytes of its rows.

        Raises:
            ValueError: the content is not rows of diagnostics.
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
        """Return the steps and values of a column of ``LISTS``, where it was measured."""
        found = [(step, row[name]) for step, row in self._rows if name in row]
        return [step for step, _ in found], [value for _, value in found]  # type: ignore[misc]


def _is_value(value: object) -> bool:
    return all(isinstance(each, float) for each in (value if isinstance(value, list) else [value]))


def read_diagnostics(folder: Path) -> "polars.DataFrame":
    """Read a run's diagnostics.

    Raises:
        OSError: the file can't be read.
        ValueError: the file is damaged, or holds no diagnostics.
    """
    import polars

    frame = DiagnosticsTable.read(folder / DIAGNOSTICS)
    lacking = [name for name in ADDED if name not in frame.columns]
    return frame.with_columns(polars.lit(None, polars.Float64).alias(name) for name in lacking)
