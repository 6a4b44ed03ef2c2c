"""The command ``python -m hw2exp.theory``: the write-up's answers, worked out and checked."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from hw2exp.config.problems import ConfigError


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
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read it has seen enough
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    from hw2exp.theory.sheet import PARTS

    parser = argparse.ArgumentParser(
        "python -m hw2exp.theory",
        description="The write-up's answers part by part: each with the right formula, numbers, "
        "the checks that were run, and a verdict. All in under a minute.",
        epilog="Parts: " + " ".join(PARTS),
        allow_abbrev=False,
    )
    parser.add_argument("part", nargs="*", help="1.2.2e, or a beginning, 1.2; all by default")
    parser.add_argument(
        "--runs", type=Path, metavar="DIR", help="a sweep of trained networks, for 1.2.1d"
    )
    parser.add_argument("--figures", type=Path, metavar="DIR", help="where to draw the figures")
    return parser


def _run(words: Sequence[str], runs: Path | None, figures: Path | None) -> int:
    from rich.console import Console

    from hw2exp.fleet_run import one_thread
    from hw2exp.theory.sheet import READS_RUNS, answer, select, show, summary

    parts = select(words)
    if runs is not None and READS_RUNS not in parts:
        raise ConfigError([f"--runs {runs}: only part {READS_RUNS} reads runs"])
    if runs is not None and not runs.is_dir():
        raise ConfigError([f"--runs {runs}: no such folder"])
    if figures is not None:
        _make(figures)
    console = Console(highlight=False)
    began, found = time.monotonic(), []
    with one_thread():
        for part in parts:
            found.append(answer(part, runs))
            show(found[-1], console)
            if figures is not None:
                for name, draw in found[-1].figures.items():
                    draw(figures / name)
    console.print(summary(found, time.monotonic() - began))
    return 0 if all(each.passed for each in found) else 1


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError([f"--figures {folder}: {error.strerror}"]) from error


if __name__ == "__main__":
    sys.exit(main())
