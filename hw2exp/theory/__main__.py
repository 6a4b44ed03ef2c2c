"""The command ``python -m hw2exp.theory``: the write-up's answers, worked out and checked."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from hw2exp import disk
from hw2exp.config.problems import ConfigError

if TYPE_CHECKING:
    from hw2exp.theory.answer import Answer


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: the arguments; by default those of the process.

    Returns:
        The exit status: 0 all checks passed, 1 one failed, 2 bad input.
    """
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments.part, arguments.runs, arguments.figures)
    except ConfigError as error:
        print("hw2exp: " + " | ".join(error.problems), file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    from hw2exp.theory.sheet import PARTS

    parser = argparse.ArgumentParser(
        "python -m hw2exp.theory",
        description="The write-up's answers part by part: each with the right formula, numbers, "
        "the checks that were run, and a verdict. All in under a minute, but for compiling, once "
        "for a machine.",
        epilog="Parts: " + " ".join(PARTS),
        allow_abbrev=False,
    )
    parser.add_argument("part", nargs="*", help="1.2.2e, or a beginning, 1.2; all by default")
    parser.add_argument("--runs", metavar="DIR", help="a sweep of trained networks, for 1.2.1d")
    parser.add_argument("--figures", metavar="DIR", help="where to draw the figures")
    return parser


def _run(words: Sequence[str], runs: str | None, figures: str | None) -> int:
    from hw2exp.terminal import say
    from hw2exp.theory.sheet import READS_RUNS, select, summary

    parts = select(words)
    if runs is not None and READS_RUNS not in parts:
        raise ConfigError([f"--runs {runs}: only part {READS_RUNS} reads runs"])
    source = None if runs is None else _folder("--runs", runs)
    target = None if figures is None else _folder("--figures", figures, make=True)
    began = time.monotonic()
    found = [_show(part, source, target) for part in parts]
    say(summary(found, time.monotonic() - began))
    if target is not None and not any(each.figures for each in found):
        say(f"no figure belongs to {', '.join(parts)}")
    return 0 if all(each.passed for each in found) else 1


def _show(part: str, runs: Path | None, figures: Path | None) -> "Answer":
    """Work a part out, print it, draw its figures."""
    from rich.console import Console

    from hw2exp.fleet_run import one_thread
    from hw2exp.kernel import compiled_before
    from hw2exp.terminal import say
    from hw2exp.theory.sheet import answer, text_of

    console = Console(highlight=False)
    once = "" if compiled_before() else "; compiling kernels, once for this machine"
    waiting = console.status(f"working out {part}{once}") if console.is_terminal else nullcontext()
    with waiting, one_thread():
        found = answer(part, runs)
    width = console.width if console.is_terminal or "COLUMNS" in os.environ else 100
    say(text_of(found, width, console.is_terminal and not console.no_color))
    if figures is not None:
        _draw(found, figures)
    return found


def _draw(found: "Answer", folder: Path) -> None:
    from hw2exp.terminal import say

    for name, draw in found.figures.items():
        try:
            draw(folder / name)
        except OSError as error:
            raise ConfigError([f"--figures {folder / name}: {error.strerror}"]) from error
        say(f"drawn: {folder / name}\n")


def _folder(option: str, word: str, make: bool = False) -> Path:
    """A folder that is there, or is made."""
    if not word:
        raise ConfigError([f"{option} '': must be a folder"])
    path = Path(word)
    try:
        if make:
            disk.make_folder(path)
    except OSError as error:
        raise ConfigError([f"{option} {word}: {error.strerror}"]) from error
    if not path.is_dir():
        raise ConfigError([f"{option} {word}: {'not a' if path.exists() else 'no such'} folder"])
    return path


def _lenient(stream: TextIO) -> None:
    """Write a replacement for what a terminal's encoding doesn't have."""
    if reconfigure := getattr(stream, "reconfigure", None):
        reconfigure(errors="replace")


if __name__ == "__main__":
    # There is nothing to save: an interrupt ends the command at once, while it imports too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _lenient(sys.stdout)
    _lenient(sys.stderr)
    sys.exit(main())
