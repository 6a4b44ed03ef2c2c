"""Run the command ``python -m hw2exp.theory``: work out the write-up's answers, and check them."""

import os
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from hw2exp.config.folder import asked_for, check_path, check_there, typed_path
from hw2exp.system import disk
from hw2exp.system.problems import ConfigError
from hw2exp.system.process import failed, parser_of, process
from hw2exp.system.terminal import echo, live_console, warn

if TYPE_CHECKING:
    from hw2exp.theory.answer import Answer


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments, by default those of the process.

    Returns:
        The exit status: 0 if all checks passed, 1 if a check failed or a figure can't be written,
        2 for bad input.
    """
    try:
        arguments = _parser().parse_args(argv)
        return _run(arguments.part, arguments.runs, arguments.figures)
    except (ConfigError, OSError) as error:
        return failed(error)


def _parser() -> ArgumentParser:
    from hw2exp.theory.sheet import PARTS

    parser = parser_of(
        "hw2exp.theory",
        "The write-up's answers part by part: each with the right formula, numbers, "
        "the checks that were run, and a verdict. All in under a minute, but for compiling, once "
        "for a machine.",
        "Parts: " + " ".join(PARTS),
    )
    parser.add_argument("part", nargs="*", help="1.2.2e, or a beginning, 1.2; all by default")
    parser.add_argument(
        "--runs",
        type=typed_path,
        metavar="DIR",
        help="a sweep of trained networks, for 1.2.1d",
    )
    parser.add_argument(
        "--figures", type=typed_path, metavar="DIR", help="where to draw the figures"
    )
    return parser


def _run(words: Sequence[str], runs: str | None, figures: str | None) -> int:
    from hw2exp.theory.sheet import READS_RUNS, select, summary

    parts = select(words)
    if runs is not None and READS_RUNS not in parts:
        raise ConfigError([f"--runs {runs}: only part {READS_RUNS} reads runs"])
    source = None if runs is None else _folder("--runs", runs)
    target = None if figures is None else _named("--figures", figures)
    began = time.monotonic()
    with ExitStack() as stack:
        if target is not None:
            with asked_for(f"--figures {figures}"):
                stack.enter_context(disk.made_folder(target))
        found = [_show(part, source, target) for part in parts]
    echo(summary(found, time.monotonic() - began))
    if target is not None and not any(each.figures for each in found):
        echo(f"no figure belongs to {', '.join(parts)}")
    return 0 if all(each.passed for each in found) else 1


def _show(part: str, runs: Path | None, figures: Path | None) -> "Answer":
    """Work out a part, print its answer and draw its figures."""
    from hw2exp.fleet.torch_state import torch_as_known
    from hw2exp.records.figure_style import figure_style
    from hw2exp.system.kernel_cache import cache_problem, compiled_before
    from hw2exp.theory.sheet import answer, text_of

    console = live_console()
    once = "" if compiled_before() else "; compiling kernels, once for this machine"
    waiting = console.status(f"working out {part}{once}") if console.is_terminal else nullcontext()
    with waiting, torch_as_known():
        found = answer(part, runs)
    if problem := cache_problem():
        warn(problem)
    width = console.width if console.is_terminal or "COLUMNS" in os.environ else 100
    echo(text_of(found, width, console.is_terminal and not console.no_color))
    if figures is not None:
        for name, draw in found.figures.items():
            with figure_style():
                draw(figures / name)
            echo(f"drawn: {figures / name}\n")
    return found


def _named(option: str, word: str) -> Path:
    check_path(Path(word), f"{option} {word}")
    return Path(word)


def _folder(option: str, word: str) -> Path:
    """Return the path of a folder, which must exist."""
    path = _named(option, word)
    check_there(path, f"{option} {word}")
    return path


if __name__ == "__main__":
    process(main)
