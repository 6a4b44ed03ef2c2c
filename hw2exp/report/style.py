"""Style the report's figures, their sizes and colors, and draw them for the page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw2exp.diagnostics.statistics import Estimate
from hw2exp.records.arms import Arm
from hw2exp.records.figure_style import BLUE, GREEN, ORANGE, RED, STYLE, encoded
from hw2exp.system import disk

if TYPE_CHECKING:
    from matplotlib.figure import Figure


COLUMNS = 3

MOST_ARMS = 24
"""Most panels or lines of a legible figure."""

PALETTE = (
    BLUE, ORANGE, GREEN, RED, "#9467bd", "#8c564b", "#e377c2", "#56B4E9",
    "#b5bd00", "#004D40", "#7F3C8D", "#F97B72",
)  # fmt: skip
"""Colors of lines; arms without cures are black."""

HIGHEST = 100.0
"""The largest loss that panels of curves show: one spike of 10⁸ would flatten all others."""


def panels_of(
    width: float, height: float, rows: int, columns: int, **options: Any
) -> tuple["Figure", Any]:
    """Return an empty figure and its panels.

    Args:
        width: the width in inches.
        height: the height in inches.
        rows: number of rows.
        columns: number of columns.
        options: options of matplotlib's ``subplots``.

    Returns:
        The figure, and its axes, an array ``(rows, columns)``.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure((width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, squeeze=False, **options)


def first_arms(arms: Iterable[Arm]) -> list[Arm]:
    """Return the different arms in order, at most as many as a figure has panels."""
    return list({arm.name: arm for arm in arms}.values())[:MOST_ARMS]


def grid(panels: int, height: float) -> tuple["Figure", list[Any]]:
    """Return a figure with equal panels, and the panels; a row is ``height`` inches high."""
    columns = columns_for(panels)
    rows = -(-panels // columns)
    width = 10.5 * columns / COLUMNS + 0.5
    figure, found = panels_of(width, height * rows + 0.3, rows, columns)
    axes: list[Any] = found.ravel().tolist()
    for unused in axes[panels:]:
        unused.set_visible(False)
    return figure, axes[:panels]


def columns_for(panels: int) -> int:
    """Return the number of columns of a grid: four panels look better as two rows of two."""
    return 2 if panels == 4 else min(COLUMNS, panels)


def label_outer(panels: Sequence[Any], x: str, y: str) -> None:
    """Label the axes of the leftmost and the lowest panels of a ``grid``."""
    columns = columns_for(len(panels))
    for place, axes in enumerate(panels):
        if place % columns == 0:
            axes.set_ylabel(y, fontsize=8)
        if place >= len(panels) - columns:
            axes.set_xlabel(x, fontsize=8)


def draw_estimates(
    axes: Any, xs: Sequence[float], estimates: Sequence[Estimate], bounded: bool = True, **look: Any
) -> None:
    """Draw estimates as a line.

    Args:
        axes: the panel.
        xs: the place of each estimate.
        estimates: the estimates.
        bounded: whether to draw their intervals too.
        look: options of matplotlib's ``plot``, a color among them.
    """
    axes.plot(xs, [each.value for each in estimates], **look)
    if bounded:
        ends = [[each.low for each in estimates], [each.high for each in estimates]]
        same = {key: look[key] for key in ("color", "linewidth", "transform") if key in look}
        axes.vlines(xs, *ends, **same)


def folded(name: str, width: int = 44) -> str:
    """Break a long name between words, into lines of at most ``width`` characters if possible."""
    import textwrap

    return "\n".join(textwrap.wrap(name, width, break_long_words=False))


DPI = 110
"""Pixels of the page per inch of a figure."""

SHARP = 2
"""Pixels of a figure's PNG per pixel of the page: it stays sharp on a projector and in print."""


@dataclass(frozen=True)
class Drawn:
    """A figure on the page.

    Args:
        name: the file name without ending.
        title: the heading.
        caption: the caption.
        png: the PNG's bytes.
    """

    name: str
    title: str
    caption: str
    png: bytes

    @property
    def width(self) -> int:
        """Return the width on the page, in pixels."""
        return int.from_bytes(self.png[16:20], "big") // SHARP  # where a PNG holds its width


def draw(figure: "Figure", target: Path, name: str, title: str, caption: str) -> Drawn:
    """Write a figure as PNG and SVG into a folder, with the same bytes each time.

    The folder must exist; for the name, title and caption see :class:`Drawn`.

    Raises:
        OSError: a file can't be written.
    """
    png = encoded(figure, "png", dpi=SHARP * DPI)
    disk.write(target / f"{name}.png", png)
    disk.write(target / f"{name}.svg", encoded(figure, "svg"))
    return Drawn(name, title, caption, png)
