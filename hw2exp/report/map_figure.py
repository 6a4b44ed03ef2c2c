"""Draw a map of runs with its axes, its colors and, for a cure, the borders of divergence."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hw2exp.records.figure_style import encoded
from hw2exp.records.map_axes import MapAxis
from hw2exp.report.map_colors import Picture, Scale
from hw2exp.report.run_map import RunMap
from hw2exp.report.style import DPI

PANEL = 480
"""Least width and height of a map in pixels; each cell is a whole number of them, one or more."""

LEFT, RIGHT, BOTTOM, TOP = 58, 108, 50, 26
"""Margins in pixels."""

BAR, GAP, LINE, SWATCH = 14, 12, 18, 20
"""Width of a bar of colors, distance from the map, height of a line, width of a swatch: pixels."""

WITH_CURE, WITHOUT_CURE = "with cure", "without"
LINES = {WITH_CURE: "solid", WITHOUT_CURE: (0, (2.5, 1.5))}
"""Styles of the two borders on the map of a cure."""

BANDS = 32
"""Most points of a border: each is the median of neighboring rows."""

DARK, MIDDLE = "#101218", "#8a8f98"

IMAGE: dict[str, Any] = {"origin": "lower", "interpolation": "nearest", "aspect": "auto"}


def map_figure(own: RunMap, picture: Picture, reference: RunMap | None) -> bytes:
    """Draw a map as PNG.

    Args:
        own: the map.
        picture: its colors.
        reference: the map without the cure, if this one has a cure; then the borders of both are
            drawn as lines.
    """
    from matplotlib.figure import Figure

    rows, columns, _ = picture.pixels.shape
    wide, high = (-(-PANEL // cells) * cells for cells in (columns, rows))
    size = LEFT + wide + RIGHT, BOTTOM + high + TOP
    figure = Figure((size[0] / DPI, size[1] / DPI))

    def place(left: float, bottom: float, width: float, height: float) -> Any:
        box = left / size[0], bottom / size[1], width / size[0], height / size[1]
        return figure.add_axes(box)

    axes = place(LEFT, BOTTOM, wide, high)
    extent = -0.5, columns - 0.5, -0.5, rows - 0.5
    axes.imshow(picture.pixels, extent=extent, **IMAGE)
    axes.set_title(own.name, fontsize=9, loc="left")
    maps = {} if reference is None else {WITH_CURE: own, WITHOUT_CURE: reference}
    lines = {name: each for name, each in maps.items() if each.mostly_diverged.any()}
    for name, each in lines.items():
        _draw_border(axes, each, name)
    _label(axes.xaxis, own.x)
    _label(axes.yaxis, own.y)
    entries = len(picture.swatches) + len(lines)
    bars = high - LINE * (entries + 1)
    for number, scale in enumerate(picture.bars):
        bar = place(LEFT + wide + GAP + number * BAR, BOTTOM + high - bars, BAR, bars)
        _draw_bar(bar, scale)
        if scale is picture.bars[-1]:
            _label_bar(bar, scale, picture.quantity)
    legend = place(LEFT + wide + GAP, BOTTOM, RIGHT - GAP, LINE * entries)
    _draw_legend(legend, picture, list(lines))
    return encoded(figure, "png", dpi=DPI)


def _draw_bar(axes: Any, scale: Scale) -> None:
    """Draw a scale from low to high."""
    axes.imshow(scale.bar[:, None], **IMAGE)
    axes.set(xticks=[], yticks=[])


def _label_bar(axes: Any, scale: Scale, quantity: str) -> None:
    """Write a scale's ticks and its quantity on the right."""
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.set_yticks(scale.places(scale.ticks), scale.texts, fontsize=7)
    axes.set_ylabel(quantity, fontsize=7)


def _draw_border(axes: Any, own: RunMap, name: str) -> None:
    """Draw where the border of divergence would be if it were one clean line.

    In each row, it lies at the share of the runs that do not diverge.
    """
    rows, columns = own.mostly_diverged.shape
    runs = (~np.isnan(own.diverged)).sum((0, 2))
    stable = (own.diverged == 0).sum((0, 2)) / np.where(runs, runs, np.nan)
    bands = np.array_split(np.stack([columns * stable - 0.5, np.arange(rows)]), BANDS, 1)
    x, y = np.transpose([np.median(band, 1) for band in bands if band.size])
    _draw_line(axes, x, y, name)


def _draw_line(axes: Any, x: Any, y: Any, name: str) -> None:
    """Draw a white line with a dark outline, which shows on every color."""
    from matplotlib.patheffects import withStroke

    effects = [withStroke(linewidth=2.8, foreground=DARK)]
    axes.plot(x, y, color="white", linewidth=1.2, linestyle=LINES[name], path_effects=effects)


def _draw_legend(axes: Any, picture: Picture, lines: Sequence[str]) -> None:
    """Name the colors and lines that the scales do not show, from below."""
    from matplotlib.patches import Rectangle

    colors = {text: [each / 255 for each in color] for text, color in picture.swatches.items()}
    for row, text in enumerate([*colors, *lines]):
        if text in colors:
            look: dict[str, Any] = {"edgecolor": MIDDLE, "linewidth": 0.4}
            axes.add_patch(Rectangle((0, row + 0.15), SWATCH, 0.7, facecolor=colors[text], **look))
        else:
            _draw_line(axes, [1, SWATCH - 1], [row + 0.5] * 2, text)
        axes.text(SWATCH + 5, row + 0.5, text, fontsize=7, va="center")
    axes.set(xlim=(0, RIGHT - GAP), ylim=(0, len(colors) + len(lines)))
    axes.axis("off")


def _label(axis: Any, own: MapAxis) -> None:
    """Write ticks at round values, and the axis's meaning."""
    values = _round_values(own)
    digits = 4 if own.spacing == "uneven" else 12  # a deep zoom needs them
    texts = [f"{value:.{digits}g}" for value in values]
    axis.set_ticks(own.places(values), texts, fontsize=7)
    if axis.axis_name == "y" and max(map(len, texts)) > 4:
        axis.set_tick_params(rotation=90)
        for text in axis.get_ticklabels():
            text.set_verticalalignment("center")
    meaning = f"{own.meaning.partition(',')[0]}: " * bool(own.meaning)
    axis.set_label_text(f"{meaning}{own.key}", fontsize=8)


def _round_values(own: MapAxis) -> list[float]:
    """Return some round values within an axis, or some of its own values if they are uneven."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    first, last = own.values[[0, -1]]
    if own.spacing == "uneven":
        return list(own.values[:: -(-len(own.values) // 6)])
    locator: Any = MaxNLocator(5)
    if own.spacing == "geometric" and last > 8 * first:
        locator = LogLocator(subs=(1.0,) if last > 2000 * first else (1.0, 3.0), numticks=12)
    return [value for value in locator.tick_values(first, last) if first <= value <= last]
