"""Draw a figure for the page, and write its files."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hw2exp.records.figure_style import encoded
from hw2exp.system import disk

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110


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


def draw(figure: "Figure", target: Path, name: str, title: str, caption: str) -> Drawn:
    """Write a figure as PNG and SVG, with the same bytes each time.

    Args:
        figure: the figure.
        target: an existing folder.
        name: the file name without ending.
        title: the heading.
        caption: the caption.

    Raises:
        OSError: a file can't be written.
    """
    png = encoded(figure, "png", dpi=DPI)
    disk.write(target / f"{name}.png", png)
    disk.write(target / f"{name}.svg", encoded(figure, "svg"))
    return Drawn(name, title, caption, png)
