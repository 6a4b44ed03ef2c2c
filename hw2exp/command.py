"""What commands have in common: their flags and help, how they say why they failed."""

import os
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from importlib.util import find_spec
from types import FrameType
from typing import NoReturn

from hw2exp import __version__
from hw2exp.config.problems import ConfigError, in_one_line
from hw2exp.terminal import complain, say

VERSION = f"hw2exp {__version__}"


def parser_of(module: str, description: str, epilog: str | None = None) -> ArgumentParser:
    """A parser of flags, whose help may be left off reading.

    Args:
        module: the command's.
        description: what the command does.
        epilog: what stands below the flags.
    """
    prog = f"python -m {module}"
    parser = ArgumentParser(prog, description=description, epilog=epilog, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=VERSION, help="show the version")
    parser.print_help = lambda file=None: say(parser.format_help())  # type: ignore[method-assign]
    return in_one_line(parser)


def failed(error: ConfigError | OSError) -> int:
    """Say in a line why a command ends.

    Args:
        error: bad input, or what the system refused.

    Returns:
        The exit status: 2 for bad input, 1 for the system.
    """
    if isinstance(error, ConfigError):
        status, line = 2, " | ".join(error.problems)
    else:
        status, line = 1, cant_write(error)
    complain(line)
    return status


def cant_write(error: OSError) -> str:
    """Say in a line what the system refused.

    Args:
        error: what it raised.
    """
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def check_system() -> None:
    """Exit with a line where this package can't work: on another system, or not installed."""
    try:
        import hw2exp.lock  # noqa: F401
    except ImportError as error:
        complain(str(error))
        sys.exit(1)
    if find_spec("hw2exp.configs") is None:
        complain("this checkout is not installed; type make setup, or pip install -e . in it")
        sys.exit(1)


def process(main: Callable[[], int]) -> NoReturn:
    """Be the process of a command that has nothing to save when it is interrupted.

    Args:
        main: the command; returns the exit status.
    """
    check_system()
    _end_at_once()
    prepare_output()
    sys.exit(main())


def _end_at_once() -> None:
    """Let an interrupt end the process at once, by the system: it has nothing to save."""

    # Not the system's own handler from the start: polars puts one before it that passes the signal
    # on to functions only.
    def leave(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGINT, leave)


def prepare_output() -> None:
    """Write a replacement for what an encoding doesn't have, and nowhere where output is closed.

    A file opened later would else get the number of standard output, and what is written there.
    """
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
            if nowhere.fileno() != number:
                os.dup2(nowhere.fileno(), number)
            setattr(sys, name, nowhere)
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")
