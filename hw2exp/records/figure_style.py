"""Style figures, and save them, independently of the user's matplotlib settings."""

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BACKEND = "MPLBACKEND"

BLUE, ORANGE, GREEN, VERMILION, RED, GRAY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC3311", "#888888",
)  # fmt: skip
"""Colors that color-blind readers can tell apart, most of them by Okabe and Ito."""

DATES = {"svg": "Date", "pdf": "CreationDate"}
"""The name of the entry with the date, for the kinds of files that have one."""

STYLE: dict[Any, Any] = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}

LOG_FROM = 2.0
"""Losses above this are on a logarithmic scale, so that a spike of 1,000 hides nothing else."""


@contextmanager
def figure_style(style: Mapping[Any, Any] | None = None) -> Iterator[None]:
    """Use matplotlib's defaults and a style, then restore the user's settings.

    Make and save a figure inside the context, because saving reads some of the settings.

    Args:
        style: the settings that differ from the defaults.
    """
    import_matplotlib()
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(style or {})
        yield


def import_matplotlib() -> None:
    """Import matplotlib without the backend that ``MPLBACKEND`` names.

    A notebook passes the name of its own backend on to each command, where its import fails. The
    bench shows no figure in a window, so it needs no backend.
    """
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop(BACKEND, None)
    try:
        import matplotlib  # noqa: F401
    finally:
        if backend is not None:
            os.environ[BACKEND] = backend


def loss_axis(
    axes: Any, top: float, near: Sequence[float] = (0, 1, 2), decades: int = 3, room: float = 1.1
) -> bool:
    """Set the vertical axis to a loss: logarithmic above ``LOG_FROM`` if some losses are high.

    Args:
        axes: the panel.
        top: the largest visible loss.
        near: the ticks of the linear part.
        decades: most ticks of the logarithmic part.
        room: the height of a linear axis, in units of ``top``.

    Returns:
        Whether it is logarithmic.
    """
    if top <= 2 * LOG_FROM:
        axes.set_ylim(0, room * max(top, 1.5))
        return False
    axes.set_yscale("symlog", linthresh=LOG_FROM, linscale=2.0)
    powers = range(1, math.ceil(math.log10(top)) + 1)
    every = math.ceil(len(powers) / decades)
    axes.set_yticks([*near, *(10.0**power for power in powers[::every])], minor=False)
    axes.set_yticks([], minor=True)
    axes.yaxis.set_major_formatter(lambda value, _: short(value))
    axes.set_ylim(0, top)
    return True


def short(value: float) -> str:
    """Write a number in three digits, or as a whole number from 100 on."""
    return f"{value:,.0f}" if 100 <= value < 1e6 else f"{value:.3g}"


def encoded(figure: "Figure", kind: str, fonts: str = "none", **options: Any) -> bytes:
    """Return a figure as a PNG, SVG or PDF file, with the same bytes each time.

    Args:
        figure: the figure.
        kind: ``png``, ``svg`` or ``pdf``.
        fonts: matplotlib's ``svg.fonttype``: ``none`` for text, ``path`` for outlines.
        options: further options of matplotlib's ``savefig``.
    """
    import matplotlib

    content = BytesIO()
    if kind in DATES:
        options["metadata"] = {DATES[kind]: None}
    with matplotlib.rc_context({"svg.hashsalt": "hw2exp", "svg.fonttype": fonts}):
        figure.savefig(content, format=kind, **options)
    return content.getvalue()
