"""Write numbers, cells of the page's tables, and tables as files."""

import math
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw2exp.diagnostics.statistics import Estimate
from hw2exp.system import disk
from hw2exp.system.problems import visible

if TYPE_CHECKING:
    import polars


def percent(value: float) -> str:
    """Write a share, from 0 to 1, in percent."""
    return "–" if math.isnan(value) else f"{100 * value:.0f} %"


def small_percent(value: float) -> str:
    """Write a small share, from 0 to 1, in percent, in two digits."""
    return "–" if math.isnan(value) else f"{100 * value:.2g} %"


def within(estimate: Estimate, written: Callable[[float], str]) -> str:
    """Write an estimate with its interval, if it has one; a single run has none."""
    value = written(estimate.value)
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return value
    return f"{value} [{written(estimate.low)}, {written(estimate.high)}]"


def signed(value: float) -> str:
    """Write a difference with its sign, to one decimal."""
    rounded = round(value, 1) + 0.0  # no -0.0
    return f"{rounded:+.1f}".replace("-", "−")


def plain(value: Any, text: str = "", style: str = "number") -> dict[str, Any]:
    """Make a cell of a value, its sort key, without an interval; the style is a CSS class.

    Without a text, the cell shows the value itself.
    """
    return {"value": value, "text": text or str(value), "interval": "", "style": style}


def cell(estimate: Estimate, written: Callable[[float], str]) -> dict[str, Any]:
    """Make a cell of an estimate above its interval; the estimate's value is the sort key."""
    value = "Infinity" if math.isinf(estimate.value) else estimate.value
    interval = f"{written(estimate.low)} … {written(estimate.high)}"
    bounded = math.isfinite(estimate.low)  # no "never … never"
    return plain(value, written(estimate.value)) | {"interval": interval if bounded else ""}


def points(value: float) -> str:
    """Write a difference of shares, from -1 to 1, in percentage points."""
    return f"{100 * value:+.0f} points".replace("-", "−")


def steps(value: float) -> str:
    """Write a number of steps; it is infinite for an event that never happens."""
    if math.isnan(value):
        return "–"
    return "never" if math.isinf(value) else f"{value:,.0f}"


def number(value: float) -> str:
    """Write a number in three digits; it is infinite where runs diverged."""
    if math.isinf(value):
        return "∞"
    return "–" if math.isnan(value) else f"{value:.3g}"


def columns(name: str, estimate: Estimate) -> dict[str, float]:
    """Return the columns of an estimate: its value, as ``name``, and the ends of its interval."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def write_table(
    rows: "Sequence[Mapping[str, Any]] | polars.DataFrame", folder: Path, name: str
) -> None:
    """Write rows, which may differ in their columns, or a table into a folder as CSV and Parquet.

    The folder must exist; ``name`` is the file name without ending.
    """
    import polars

    table = polars.DataFrame(rows, infer_schema_length=None)
    disk.write(folder / f"{name}.csv", visible(table.write_csv(), kept="\n").encode())
    content = BytesIO()
    table.write_parquet(content)
    disk.write(folder / f"{name}.parquet", content.getvalue())
