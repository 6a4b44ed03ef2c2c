"""Write the head-to-head as a table with a row for each cure, over all models and optimizers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hw2exp.diagnostics.statistics import UNKNOWN, Estimate
from hw2exp.report.tables import within

Row = Mapping[str, Any]

MEASURED = {
    "solved": ("more", 100, 1),
    "spikes": ("less", 1, 2),
    "spike_score": ("less", 100, 1),
    "lr_sensitivity": ("less", 1, 2),
}
"""By measure: the verdict that one wishes for, a factor, and the decimals of a number."""

HEADINGS = (
    "cure", "settings", "solved, points", "spikes per 1,000 steps", "spike score, points",
    "sensitivity to the rate", "time of a step", "best rate at an edge",
)  # fmt: skip


def markdown(rows: Sequence[Row]) -> str:
    """Write the table.

    A cell has the mean over the settings of the difference from none, its interval, and in how many
    settings the cure is decided to be better and worse.

    Args:
        rows: one a model, an optimizer and a cure, see ``scripts/head_to_head.py``.
    """
    names = dict.fromkeys(row["cure"] for row in rows if row["cure"] != "none")
    lines = [HEADINGS, ["---"] * len(HEADINGS), *(_cells(name, rows) for name in names)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _cells(cure: str, rows: Sequence[Row]) -> list[str]:
    own = [row for row in rows if row["cure"] == cure]
    cells = [cure, str(len(own))]
    for measured, (wanted, factor, decimals) in MEASURED.items():
        mean = within(
            mean_of([difference(row, measured) for row in own]),
            lambda value, f=factor, d=decimals: f"{f * value:+.{d}f}".replace("-", "−"),
        )
        verdicts = [row.get(f"{measured}_verdict") for row in own]
        worse = {"more": "less", "less": "more"}[wanted]
        counts = f"{verdicts.count(wanted)} / {verdicts.count(worse)}"
        cells.append("; ".join(text.replace(" ", "\N{NO-BREAK SPACE}") for text in (mean, counts)))
    edges = sum(bool(row["edge"]) for row in own)
    return [*cells, f"× {_slowdown(own):.1f}", str(edges)]


def difference(row: Row, measured: str) -> Estimate:
    """Return a cure's difference from none in a measure, with its interval, if it is known."""
    ends = (row.get(f"{measured}_{end}", math.nan) for end in ("less_none", "low", "high"))
    return Estimate(*ends)


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of independent estimates, those without a value left out.

    The interval combines theirs (MOVER, Zou & Donner 2008).
    """
    known = [each for each in estimates if math.isfinite(each.value)]
    if not known:
        return UNKNOWN
    values, lows, highs = np.array([(e.value, e.low, e.high) for e in known]).T
    mean = values.mean()
    below, above = np.linalg.norm(values - lows), np.linalg.norm(highs - values)
    return Estimate(float(mean), float(mean - below / len(known)), float(mean + above / len(known)))


def _slowdown(own: Sequence[Row]) -> float:
    """Return the time of a cure's step over that without, the geometric mean over settings."""
    return float(np.exp(np.mean(np.log([row["slowdown"] for row in own]))))
