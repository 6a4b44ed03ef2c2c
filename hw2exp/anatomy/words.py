"""Write text into the anatomy's panels: titles, legends above the curves, notes in empty panels."""

from typing import TYPE_CHECKING, Any

from hw2exp.records.figure_style import GRAY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOSS = "Loss before each step"
NORMS = "Norms of the gradient and of the update"
SHARPNESS = "Sharpness, in units of what the optimizer can stand"
CLIFF = "The cliff"
ALONG = "Loss along the step"
"""The titles of panels; a page may say more after a colon."""

ROW = 0.085
"""The height of a legend's row, as a share of the panel's."""


def legend_above(axes: "Axes", size: float = 8, columns: int = 1, **options: Any) -> None:
    """Add a legend at the top of a panel, and extend the y axis to make room.

    Call this function after the limits and the scale of the axis are set. The font size is in
    points; further options are those of matplotlib's ``legend``.
    """
    rows = -(-len(axes.get_legend_handles_labels()[0]) // columns)
    room = 1 / (1 - min(0.6, ROW * size / 8 * rows + 0.03))
    bottom, top = axes.get_ylim()
    if axes.get_yscale() == "log":
        axes.set_ylim(bottom, bottom * (top / bottom) ** room)
    else:
        axes.set_ylim(bottom, bottom + (top - bottom) * room)
    axes.legend(
        loc="upper left", fontsize=size, ncols=columns,
        framealpha=1, edgecolor="none", borderaxespad=0.2, **options,
    )  # fmt: skip


def empty(axes: "Axes", why: str) -> None:
    """Write into an empty panel why it shows nothing."""
    axes.text(0.5, 0.5, why, ha="center", va="center", color=GRAY, transform=axes.transAxes)
