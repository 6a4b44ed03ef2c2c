"""Style figures, and save them, independently of the user's matplotlib settings."""

import os
import sys
from collections.abc import Iterator, Mapping
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
