"""Draw a map of runs with its axes, its colors and the border of divergence."""

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

FINE = 512
"""Least number of points a side by which a border is drawn."""

DARK, MIDDLE = "#101218", "#8a8f98"

IMAGE: dict[str, Any] = {"origin": "lower", "interpolation": "nearest", "aspect": "auto"}


def map_figure(own: RunMap, picture: Picture, reference: RunMap | None) -> bytes:
    """Draw a map as PNG.

    Args:
        own: the map.
        picture: its colors.
        reference: the map whose border is drawn over it, dashed, if any.
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
    cell = min(wide // columns, high // rows)
    _draw_border(axes, own, _looks(dashed=False, cell=cell))
    if reference is not None:
        _draw_border(axes, reference, _looks(dashed=True, cell=cell))
    _label(axes.xaxis, own.x)
    _label(axes.yaxis, own.y)
    lines = len(picture.swatches) + 1 + (reference is not None)
    bars = high - LINE * (lines + 1)
    for number, scale in enumerate(picture.bars):
        bar = place(LEFT + wide + GAP + number * BAR, BOTTOM + high - bars, BAR, bars)
        _draw_bar(bar, scale)
        if scale is picture.bars[-1]:
            _label_bar(bar, scale, picture.quantity)
    legend = place(LEFT + wide + GAP, BOTTOM, RIGHT - GAP, LINE * lines)
    _draw_legend(legend, picture, reference is not None)
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


def _draw_border(axes: Any, own: RunMap, looks: list[dict[str, Any]]) -> None:
    """Draw the line between diverged runs and others along the edges of their cells."""
    cells = own.mostly_diverged
    if cells.all() or not cells.any():
        return
    fine = [max(1, FINE // extent) for extent in cells.shape]  # because a contour cuts corners
    shown = cells.repeat(fine[0], 0).repeat(fine[1], 1)
    at = [
        (np.arange(extent * k) + 0.5) / k - 0.5 for extent, k in zip(cells.shape, fine, strict=True)
    ]
    for look in looks:
        axes.contour(at[1], at[0], shown, [0.5], **look)


def _looks(dashed: bool, cell: int = PANEL) -> list[dict[str, Any]]:
    """Return the styles of the lines that make a border: white; if dashed, on a wider dark line.

    Args:
        dashed: whether the border is that of another map.
        cell: the side of a cell in pixels; small cells have thin lines, which hide no island.
    """
    width = min(max(cell / 4, 0.5), 1.4) * 72 / DPI
    line = {"linewidths": width, "colors": "white"}
    if not dashed:
        return [line]
    return [{"linewidths": 2 * width, "colors": DARK}, line | {"linestyles": "dashed"}]


def _draw_legend(axes: Any, picture: Picture, dashed: bool) -> None:
    """Name the colors and lines that the scales do not show, from below."""
    from matplotlib.patches import Rectangle

    colors = {text: [each / 255 for each in color] for text, color in picture.swatches.items()}
    lines = {"border": False} | ({"without cure": True} if dashed else {})
    for row, text in enumerate([*colors, *lines]):
        face = colors.get(text, MIDDLE)
        look: dict[str, Any] = {"facecolor": face, "edgecolor": MIDDLE, "linewidth": 0.4}
        axes.add_patch(Rectangle((0, row + 0.15), SWATCH, 0.7, **look))
        axes.text(SWATCH + 5, row + 0.5, text, fontsize=7, va="center")
        for line in _looks(lines[text]) if text in lines else ():
            axes.hlines(row + 0.5, 0, SWATCH, **line)
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
