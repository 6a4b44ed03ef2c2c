"""Cells of the page's tables: values, and estimates above their intervals."""

import math
from collections.abc import Callable
from typing import Any

from hw2exp.statistics import Estimate


def plain(value: Any, text: str = "", style: str = "number") -> dict[str, Any]:
    """A value by itself.

    Args:
        value: what a browser sorts by.
        text: as it is written; by default the value.
        style: of the cell.
    """
    return {"value": value, "text": text or str(value), "interval": "", "style": style}


def cell(estimate: Estimate, written: Callable[[float], str]) -> dict[str, Any]:
    """An estimate above its interval; the value is what a browser sorts by.

    Args:
        estimate: the estimate.
        written: how to write it.
    """
    value = "Infinity" if math.isinf(estimate.value) else estimate.value
    interval = f"{written(estimate.low)} … {written(estimate.high)}"
    found = plain(value, written(estimate.value))
    told = not (math.isnan(estimate.low) or math.isinf(estimate.low))  # "never … never" says less
    return found | {"interval": interval if told else ""}


def points(value: float) -> str:
    """Write a difference of shares.

    Args:
        value: the difference.
    """
    return f"{100 * value:+.0f} %".replace("-", "−")


def steps(value: float) -> str:
    """Write a number of steps.

    Args:
        value: how many; infinite if it does not come to that.
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
