"""Draw figures independently of the user's matplotlib settings."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

BACKEND = "MPLBACKEND"


@contextmanager
def figure_style(style: Mapping[Any, Any] | None = None) -> Iterator[None]:
    """Use matplotlib's defaults and a style, then restore the user's settings.

    Make and save a figure inside the context, since saving reads some of the settings.

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

    A notebook passes the name of its own backend on to each command, where the import fails. No
    figure here is shown in a window.
    """
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop(BACKEND, None)
    try:
        import matplotlib  # noqa: F401
    finally:
        if backend is not None:
            os.environ[BACKEND] = backend
