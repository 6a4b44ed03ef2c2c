"""Share flags, help, error lines and the process between commands."""

import gc
import os
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import FrameType
from typing import NoReturn

from hw2exp.system import version
from hw2exp.system.problems import ConfigError, in_one_line
from hw2exp.system.terminal import echo, echo_error

VERSION = f"hw2exp {version.VERSION}"


def parser_of(module: str, description: str, epilog: str | None = None) -> ArgumentParser:
    """Return a parser of the flags of ``python -m module``, whose help survives a closed pipe."""
    prog = f"python -m {module}"
    parser = ArgumentParser(prog, description=description, epilog=epilog, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=VERSION, help="show the version")
    _add_import(parser)
    parser.print_help = lambda file=None: echo(parser.format_help())  # type: ignore[method-assign]
    return in_one_line(parser)


def _add_import(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--import",
        action="append",
        type=_imported,
        metavar="MODULE",
        help="import a module that registers choices of your own; may be repeated",
    )


def _imported(name: str) -> str:
    """Import a module of the user's.

    Raises:
        ConfigError: it can't be imported.
    """
    try:
        import_module(name)
    except Exception as error:
        problem = f"--import={name}: can't be imported: {type(error).__name__}: {error}"
        raise ConfigError([problem]) from error
    return name


def without_imports(words: Sequence[str]) -> list[str]:
    """Import the modules that ``--import`` names, and return the other words of a command line.

    Raises:
        ConfigError: a module can't be imported.
    """
    parser = in_one_line(ArgumentParser(add_help=False, allow_abbrev=False))
    _add_import(parser)
    return parser.parse_known_args(words)[1]


def failed(error: ConfigError | OSError) -> int:
    """Print in one line why a command failed.

    Returns:
        The exit status: 2 for bad input, 1 for the system.
    """
    if isinstance(error, ConfigError):
        status, line = 2, " | ".join(error.problems)
    else:
        status, line = 1, cant_write(error)
    echo_error(line)
    return status


def cant_write(error: OSError) -> str:
    """Describe an error of the system in one line."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def check_installed() -> None:
    """Exit with one line if the package is not installed."""
    if find_spec("hw2exp.configs") is None:
        echo_error("this checkout is not installed; type make setup, or pip install -e . in it")
        sys.exit(1)


def process(main: Callable[[], int]) -> NoReturn:
    """Run a command that has nothing to save on an interrupt, and exit with its status."""
    check_installed()
    _end_at_once()
    prepare_output()
    end(main())


def end(status: int) -> NoReturn:
    """Exit without a search for cycles among the objects of all libraries, which takes 0.5 s."""
    gc.freeze()
    sys.exit(status)


@contextmanager
def uncollected() -> Iterator[None]:
    """Import libraries whose objects the garbage collector never searches: they are no garbage.

    Neither does it search what was made before, until ``gc.unfreeze``.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def _end_at_once() -> None:
    """Let SIGINT kill the process at once: there is nothing to save."""

    # SIG_DFL can't be set beforehand: polars installs a handler of its own, which passes the signal
    # on to functions only.
    def leave(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGINT, leave)


def prepare_output() -> None:
    """Replace letters that the encoding lacks, and point closed streams to the null device.

    Otherwise a file opened later would get the descriptor of standard output, and its text.
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
