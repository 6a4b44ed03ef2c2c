"""Make the cells of the page's tables: values, and estimates above their intervals."""

import math
from collections.abc import Callable
from typing import Any

from hw2exp.diagnostics.statistics import Estimate


def plain(value: Any, text: str = "", style: str = "number") -> dict[str, Any]:
    """Make a cell of a value without an interval.

    Args:
        value: the sort key.
        text: the text; by default the value.
        style: the cell's CSS class.
    """
    return {"value": value, "text": text or str(value), "interval": "", "style": style}


def cell(estimate: Estimate, written: Callable[[float], str]) -> dict[str, Any]:
    """Make a cell of an estimate above its interval; the estimate's value is the sort key.

    Args:
        estimate: the estimate.
        written: the function that writes a value.
    """
    value = "Infinity" if math.isinf(estimate.value) else estimate.value
    interval = f"{written(estimate.low)} … {written(estimate.high)}"
    found = plain(value, written(estimate.value))
    told = not (math.isnan(estimate.low) or math.isinf(estimate.low))  # no "never … never"
    return found | {"interval": interval if told else ""}


def points(value: float) -> str:
    """Write a difference of shares in percentage points.

    Args:
        value: the difference, from -1 to 1.
    """
    return f"{100 * value:+.0f} %".replace("-", "−")


def steps(value: float) -> str:
    """Write a number of steps.

    Args:
        value: the number of steps; infinite for an event that never happens.
    """
    if math.isnan(value):
        return "–"
    return "never" if math.isinf(value) else f"{value:,.0f}"


def number(value: float) -> str:
    """Write a number in three digits.

    Args:
        value: the number; infinite where runs diverged.
    """
    if math.isinf(value):
        return "∞"
    return "–" if math.isnan(value) else f"{value:.3g}"
