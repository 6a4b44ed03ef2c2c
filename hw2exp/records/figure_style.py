"""Draw figures that look the same whatever the user has told matplotlib."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

BACKEND = "MPLBACKEND"


@contextmanager
def figure_style(style: Mapping[Any, Any] | None = None) -> Iterator[None]:
    """Draw with matplotlib's defaults and a style of ours; afterwards the user's settings hold.

    A figure must be made and saved inside, since some settings are read only when it is saved.

    Args:
        style: what differs from the defaults.
    """
    import_matplotlib()
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(style or {})
        yield


def import_matplotlib() -> None:
    """Import matplotlib, past a backend that may be named for another environment.

    A notebook hands the name of its own backend down to each command, where its import fails. No
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
