"""Print to the terminal: texts, warnings and errors; format durations and paths."""

import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hw2exp.system.problems import visible

if TYPE_CHECKING:
    from rich.console import Console


def clock(seconds: float) -> str:
    """Format a duration as minutes and seconds, with hours if there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def echo(text: str, styled: bool = False) -> None:
    """Print a text; a closed or broken standard output must not end the run.

    Args:
        text: one or more lines.
        styled: whether the text holds terminal codes; if so, no unescaped text from files.
    """
    text = text if styled else visible(text, kept="\n")
    try:
        print(text, flush=True)
    except UnicodeEncodeError as error:
        print(text.encode(error.encoding, "replace").decode(error.encoding), flush=True)
    except (OSError, ValueError) as error:  # ValueError: a caller has closed it
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            warn(f"standard output: {error.strerror}")


def on_terminal() -> bool:
    """Return whether standard output is a terminal with a movable cursor, color or not."""
    try:
        shown = sys.stdout is not None and sys.stdout.isatty()
    except ValueError:  # closed
        return False
    return shown and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def live_console() -> "Console":
    """Return a console for live displays; without cursor movement it is no terminal."""
    from rich.console import Console

    return Console(highlight=False, force_terminal=None if on_terminal() else False)


def echo_error(line: str) -> None:
    """Print an error line to standard error."""
    with suppress(OSError, ValueError):  # standard error is closed or broken
        print(f"hw2exp: {visible(line)}", file=sys.stderr)


def warn(text: str) -> None:
    """Print a warning of one line to standard error."""
    echo_error(f"warning: {text}")


def relative(path: Path) -> Path:
    """Return a path relative to the current folder, if it lies below."""
    here = Path.cwd()  # with hydra.job.chdir it may be the run folder
    return path.relative_to(here) if here in path.parents else path


def typed(folder: Path) -> str:
    """Quote a folder for a shell."""
    return shlex.quote(str(relative(folder)))
