"""Draw a diagram as SVG."""

from pathlib import Path
from typing import Any

from hw2exp.records.figure_style import encoded
from hw2exp.system import disk
from hw2exp.theory.diagram import Arrow, Diagram, Node

SCALE = 0.72
"""Inches per unit of the diagram."""
MARGIN = 0.9
SVG_DPI = 72
"""The resolution at which matplotlib writes SVG; at another, arrows would miss the boxes."""
QUANTITY, OPERATION, LINE, MATRIX = "#dbe9f6", "#fdf0d5", "#333333", "#9c2a1a"


def draw(diagram: Diagram, path: Path) -> None:
    """Draw a diagram into a file of an existing folder.

    Args:
        diagram: the diagram.
        path: the file; its suffix gives the format, such as ``.svg``.
    """
    from matplotlib.figure import Figure

    xs, ys = zip(*(node.at for node in diagram.nodes.values()), strict=True)
    width, height = max(xs) - min(xs) + 2 * MARGIN, max(ys) - min(ys) + 2 * MARGIN
    figure = Figure((SCALE * width, SCALE * height), dpi=SVG_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(min(xs) - MARGIN, max(xs) + MARGIN)
    axes.set_ylim(min(ys) - MARGIN, max(ys) + MARGIN)
    axes.set_aspect("equal")
    axes.axis("off")
    boxes = {name: _draw_node(axes, node) for name, node in diagram.nodes.items()}
    figure.draw_without_rendering()  # fixes the sizes of the boxes, where arrows end
    for arrow in diagram.arrows:
        _draw_arrow(axes, diagram, boxes, arrow)
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    """Write a matplotlib figure into a file of an existing folder, in the format of its suffix.

    SVG is reproducible byte for byte and needs no fonts.
    """
    disk.write(path, encoded(figure, path.suffix[1:], fonts="path"))


def _draw_node(axes: Any, node: Node) -> Any:
    given = node.operation == "given"
    return axes.text(
        *node.at,
        f"${node.label}$" if given else node.operation,
        ha="center",
        va="center",
        fontsize=12 if given else 13,
        zorder=3,
        bbox={
            "boxstyle": "round,pad=0.35" if given or len(node.operation) > 2 else "circle,pad=0.25",
            "facecolor": QUANTITY if given else OPERATION,
            "edgecolor": LINE,
            "linewidth": 0.8,
        },
    )


def _draw_arrow(axes: Any, diagram: Diagram, boxes: dict[str, Any], arrow: Arrow) -> None:
    start, end = diagram.nodes[arrow.start].at, diagram.nodes[arrow.end].at
    axes.annotate(
        "",
        xy=end,
        xytext=start,
        zorder=1,
        arrowprops={
            "arrowstyle": "-|>",
            "color": LINE,
            "linewidth": 1.0,
            "mutation_scale": 11,
            "patchA": boxes[arrow.start].get_bbox_patch(),
            "patchB": boxes[arrow.end].get_bbox_patch(),
            "shrinkA": 0,
            "shrinkB": 1,
        },
    )
    if label := arrow.matrix or arrow.label:
        axes.text(
            *(a + arrow.label_at * (b - a) for a, b in zip(start, end, strict=True)),
            f"${label}$",
            ha="center",
            va="center",
            fontsize=10.5,
            color=MATRIX if arrow.matrix else LINE,
            zorder=2,
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none"},
        )
