"""Make measures of the columns that runs record: the metrics, and the diagnostics."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hw2exp.config.run_files import DIAGNOSTICS
from hw2exp.records.arms import Run
from hw2exp.records.diagnostics import METRIC, NUMBERS, read_diagnostics
from hw2exp.records.metrics import CATALOG

REDUCTIONS: dict[str, Callable[[NDArray[np.float64]], float]] = {
    "mean": lambda values: float(values.mean()),
    "max": lambda values: float(values.max()),
    "last": lambda values: float(values[-1]),
}
"""The ways to make one number of a run's column, by the end of the measure's name."""


def column_of(name: str) -> tuple[str, str] | None:
    """Return the column and the reduction that a measure's name gives, or None.

    Args:
        name: a name such as ``grad_norm_raw.max``, ``lyapunov.mean`` or ``metric.angle.last``.
    """
    column, _, reduction = name.rpartition(".")
    known = column in CATALOG or column in NUMBERS or column.startswith(METRIC)
    return (column, reduction) if known and reduction in REDUCTIONS else None


def words_of(column: str, reduction: str) -> str:
    """Return a column's measure in words."""
    steps = "logged steps" if column in CATALOG else "steps at which it was measured"
    return f"{reduction} of {column} over the {steps}"


def value_of(column: str, reduction: str, run: Run) -> float | None:
    """Return the measure of a run, without values that are not finite; None if it has none.

    Args:
        column: the column.
        reduction: one of ``REDUCTIONS``.
        run: the run; packed records hold no diagnostics.
    """
    if column in CATALOG:
        frame = run.metrics()
    elif run.packed is None and (run.folder / DIAGNOSTICS).exists():
        frame = read_diagnostics(run.folder)
    else:
        return None
    if column not in frame.columns:
        return None
    values = frame[column].drop_nulls().to_numpy().astype(float)
    known = values[np.isfinite(values)]
    return REDUCTIONS[reduction](known) if len(known) else None
