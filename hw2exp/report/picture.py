"""Draw one picture of many runs, for a slide or a paper, by the functions of the report's figures.

A large panel shows what was asked for, two small ones spikes, or diverged runs, and solved runs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hw2exp.diagnostics.statistics import Estimate
from hw2exp.records.figure_style import GRAY, STYLE, loss_axis
from hw2exp.report.curves import CURVES, Curve, band_of, draw_band
from hw2exp.report.measures import SHOWN
from hw2exp.report.question import Line, Question, estimates, label_of, note_of
from hw2exp.report.solving import one_legend
from hw2exp.report.style import HIGHEST, PALETTE, draw_estimates, folded
from hw2exp.report.tables import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BESIDE, BESIDE_LOST = ("spikes", "solved", "test_loss"), ("diverged", "solved", "test_loss")
"""The measures of the small panels, without and with diverged runs: the first two that the large
panel does not show. A run that diverges has no time for more spikes."""

NOTE = "0.35"
"""The color of the note below a picture."""

HANDLE = 7
"""The width of a legend's entry besides its text, in letters."""

LOGARITHMIC = {"test_loss", "test_loss_mean", "last_loss", "largest_grad", "largest_update"}


@dataclass(frozen=True)
class Size:
    """The size of a picture.

    Args:
        width: the width in inches.
        height: the height in inches.
        font: the size of the type in points.
        line: the width of a line in points.
        dpi: pixels per inch of a PNG.
        panels: the places of the panels, row by row; ``y`` is the large one.
        ratios: matplotlib's ratios of widths or heights.
        row: inches by which the picture grows for each further row of the legend.
    """

    width: float
    height: float
    font: float
    line: float
    dpi: int
    panels: str
    ratios: Mapping[str, Any]
    row: float

    @property
    def letters(self) -> int:
        """Return about how many letters fit into the width."""
        return round(self.width * 72 / (0.55 * self.font))

    @property
    def style(self) -> dict[Any, Any]:
        """Return matplotlib's settings."""
        small = dict.fromkeys(("axes.titlesize", "xtick.labelsize", "ytick.labelsize"), self.font)
        return {**STYLE, "font.size": self.font, "axes.labelsize": self.font, **small}


SIZES = {
    "slide": Size(40 / 3, 7.5, 20, 2.6, 144, "yu;yv", {"width_ratios": [2.4, 1]}, 0.0),
    "paper": Size(3.3, 3.5, 8, 1.0, 300, "yy;uv", {"height_ratios": [1.7, 1]}, 0.17),
}


def picture(question: Question, size: Size) -> "Figure":
    """Draw the runs of a question; call it within ``figure_style(size.style)``.

    Args:
        question: the runs and the number to show.
        size: the size of the picture.
    """
    from matplotlib.figure import Figure

    figure = Figure((size.width, size.height), layout="constrained")
    lost = any(result.diverged_at for arm in question.arms for result in arm.results)
    small = [name for name in (BESIDE_LOST if lost else BESIDE) if name != question.y][:2]
    if sum(len(arm.runs) for arm in question.arms) == 1:
        small, panels = [], figure.subplot_mosaic("y")
    else:
        panels = figure.subplot_mosaic(size.panels, **size.ratios)
    looks = _looks(question.lines, size)
    drawn = question.x is None and question.y in CURVES
    measures = small if drawn else [question.y, *small]
    found = [
        {x: estimates(arm, measures) for x, arm in line.points.items()} for line in question.lines
    ]
    if drawn:
        _draw_curves(panels["y"], question, CURVES[question.y], looks)
    for place, name in zip("uv" if drawn else "yuv", measures, strict=False):
        own = [{x: each[name] for x, each in line.items()} for line in found]
        _draw_measure(panels[place], question.x, name, own, looks)
        label = _plain(folded(label_of(name), 24))
        if place == "y":
            panels[place].set_ylabel(label)
        else:
            panels[place].set_title(label, loc="left")
    if len(question.lines) > 1:
        longest = max(len(line) for look in looks for line in look["label"].split("\n"))
        columns = max(1, min(len(looks), size.letters // (longest + HANDLE)))
        where = {"loc": "outside upper center", "ncols": columns}
        one_legend(figure, [panels["y"]], fontsize=size.font, **where)
        figure.set_figheight(size.height + size.row * (math.ceil(len(looks) / columns) - 1))
    note = _plain(folded(note_of(question), round(size.letters / 0.85)))
    figure.supxlabel(note, fontsize=0.8 * size.font, color=NOTE)
    return figure


def _looks(lines: Sequence[Line], size: Size) -> list[dict[str, Any]]:
    """Return the look of each line; if a single one of them has no cure, it is black."""
    cured = [any(arm.cures for arm in line.points.values()) for line in lines]
    colors, alone = iter(PALETTE), len(lines) > 1 and cured.count(False) == 1
    return [
        {
            "color": "black" if alone and not own else next(colors),
            "linewidth": size.line,
            "markersize": 3 * size.line,
            "label": _plain(folded(line.name, size.letters - HANDLE)),
        }
        for line, own in zip(lines, cured, strict=True)
    ]


def _plain(text: str) -> str:
    """Escape a text so that matplotlib doesn't take it for a formula."""
    return text.replace("$", r"\$")


def _draw_curves(
    axes: Any, question: Question, curve: Curve, looks: Sequence[Mapping[str, Any]]
) -> None:
    """Draw the median and the quartiles of a metric by training step, for each line."""
    bands = [band_of(arm, curve) for line in question.lines for arm in line.points.values()]
    seen = np.concatenate([np.ravel([band.low, band.middle, band.high]) for band in bands])
    seen = seen[np.isfinite(seen)]
    limit = HIGHEST if "loss" in curve.column else math.inf
    top = min(float(seen.max(initial=0.0)) or 1.0, limit)
    for band, look in zip(bands, looks, strict=True):
        draw_band(axes, band, 10 * top, **look)
    if "loss" in curve.column:
        for chance in sorted({arm.config.task.initial_loss for arm in question.arms}):
            axes.axhline(chance, color=GRAY, linestyle="--", linewidth=looks[0]["linewidth"] / 2)
        loss_axis(axes, top)
    elif curve.worst == 0:
        axes.set_ylim(0, 1.02)
    else:
        axes.set_yscale("log")
    axes.set(xlabel="training step", ylabel=curve.label, xlim=(0, None))


def _draw_measure(
    axes: Any,
    x: str | None,
    name: str,
    found: Sequence[Mapping[float | None, Estimate]],
    looks: Sequence[Mapping[str, Any]],
) -> None:
    """Draw a measure with its intervals: against a number, or a point for each line.

    In a picture against a number, runs without that number are a dashed line across.
    """
    top = _measure_axis(axes, name, [each for own in found for each in own.values()])
    if x is None:
        axes.set(xlim=(-0.7, len(found) - 0.3), xticks=[])
        for place, (own, look) in enumerate(zip(found, looks, strict=True)):
            _draw_line(axes, {float(place): own[None]}, top, 0.0, look)
        return
    _number_axis(axes, [key for own in found for key in own if key is not None])
    axes.set_xlabel(_plain(x))
    for place, (own, look) in enumerate(zip(found, looks, strict=True)):
        if (level := own.get(None)) is not None:
            axes.axhline(level.value, **{**look, "linestyle": "--"})
            axes.axhspan(level.low, min(level.high, top), color=look["color"], alpha=0.1, lw=0)
        shift = (place - (len(found) - 1) / 2) * look["linewidth"]
        at = {key: each for key, each in own.items() if key is not None}
        _draw_line(axes, at, top, shift, look)


def _draw_line(
    axes: Any, at: Mapping[float, Estimate], top: float, shift: float, look: Mapping[str, Any]
) -> None:
    """Draw estimates, and a cross at the upper edge for each that is infinite.

    Args:
        axes: the panel.
        at: each estimate by its place.
        top: a value above all visible ones.
        shift: how far to the right to draw, in points, so that no interval hides another.
        look: the look of the line.
    """
    from matplotlib.transforms import ScaledTranslation

    aside = ScaledTranslation(shift / 72, 0, axes.figure.dpi_scale_trans)
    finite = {key: each for key, each in at.items() if math.isfinite(each.value)}
    shown = [Estimate(each.value, each.low, min(each.high, top)) for each in finite.values()]
    if shown:
        transform = axes.transData + aside
        draw_estimates(axes, [*finite], shown, marker="o", transform=transform, **look)
    if lost := [key for key, each in at.items() if math.isinf(each.value)]:
        across = {"transform": axes.get_xaxis_transform() + aside, "clip_on": False, "zorder": 3}
        options = {"color": look["color"], "linewidth": look["linewidth"], **across}
        axes.scatter(lost, [1.0] * len(lost), look["markersize"] ** 2, marker="x", **options)


def _measure_axis(axes: Any, name: str, known: Sequence[Estimate]) -> float:
    """Set the vertical axis to a measure; return the value above all visible ones."""
    ends = np.array([[each.value, each.low, each.high] for each in known])
    top = float(np.max(ends[np.isfinite(ends)], initial=0.0)) or 1.0
    positive = ends[np.isfinite(ends) & (ends > 0)]
    if name in SHOWN and SHOWN[name][2] is percent:
        axes.set(ylim=(-0.03, 1.03))
        axes.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    elif name in LOGARITHMIC and len(positive):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylim(positive.min() / 1.3, 1.3 * top)
    elif len(positive) and np.median(positive) * 20 < top:
        axes.set_yscale("symlog", linthresh=1.0)
        axes.set_ylim(-0.1, 2 * top)
    else:
        axes.set_ylim(-0.03 * top, 1.08 * top)
    return 10 * top


def _number_axis(axes: Any, values: Sequence[float]) -> None:
    """Set the horizontal axis to a number, logarithmic if its values span a decade."""
    positive = [value for value in values if value > 0]
    if min(values) >= 0 and max(values) >= 10 * min(positive, default=math.inf):
        if min(values) > 0:
            axes.set_xscale("log")
        else:
            axes.set_xscale("symlog", linthresh=min(positive))
        axes.xaxis.set_major_formatter("{x:g}")
    axes.update_datalim([(value, 0) for value in values], updatey=False)
    axes.autoscale_view(scaley=False)
    axes.set_xlim(axes.get_xlim())
