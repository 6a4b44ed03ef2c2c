"""Train one run, or a sweep with ``-m``: the command ``python -m hw2exp.train``.

For training from Python, see :mod:`hw2exp.train.api`.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from hw2exp.system.interrupt import Interrupt

INTERRUPTED = (129, 130, 143)
HELP_FLAGS = {"--help", "-h"}
NAME = "hw2exp-train"
"""The installed command; shell completion needs a name of one word."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: the arguments; by default the process's.

    Returns:
        The exit status: 0 for success, 1 for a failure, 2 for bad input (nothing was created), 3
        if a run diverged with ``fail_on_divergence``, 130, 143 or 129 after an interrupt.
    """
    from hw2exp.system.interrupt import Interrupt

    words = list(sys.argv[1:] if argv is None else argv)
    with Interrupt(leave=os._exit, last=True) as interrupt:
        from hw2exp.system.problems import ConfigError
        from hw2exp.system.process import failed, prepare_output

        prepare_output()
        try:
            return _run(words, interrupt)
        except ConfigError as error:
            return failed(error)
        except OSError as error:
            status = failed(error)
            return interrupt.status or status


def _run(words: Sequence[str], interrupt: "Interrupt") -> int:
    """Check the command, then show or execute it."""
    from hw2exp.system.process import without_imports
    from hw2exp.system.terminal import echo

    words = without_imports(words)
    if HELP_FLAGS & set(words):
        from hw2exp.config.help import help_text

        echo(help_text())
        return 0
    if "--version" in words:
        from hw2exp.system.process import VERSION

        echo(VERSION)
        return 0
    from hw2exp.config.arguments import about_hydra, parse_arguments, words_of
    from hw2exp.config.command_line import read

    arguments = parse_arguments(words)
    if about_hydra(arguments):
        if arguments.hydra_help:
            arguments.overrides = []  # Hydra's own config has none of these keys
        return _ask_hydra(words_of(arguments))
    command = read(words)
    if command.inspects:
        return _ask_hydra(command.words)
    if command.jobs[0].config.dry_run:
        from hw2exp.config.help import plan_text
        from hw2exp.fleet.training_path import plain_steps
        from hw2exp.runs.checks import check_code

        check_code(command.configs)
        echo("\n".join(filter(None, (plan_text(command), plain_steps(command.jobs)))))
        return 0
    from hw2exp.sweeps.command_run import run_command

    outcomes = run_command(command, interrupt)
    each = outcomes if isinstance(outcomes, list) else [outcomes]
    return max([interrupt.status, *(own.status(interrupt) for own in each)])


def _ask_hydra(words: Sequence[str]) -> int:
    """Let Hydra show something, under the name that shell completion uses."""
    from hw2exp.config.refusals import one_error
    from hw2exp.sweeps.hydra_app import show

    try:
        one_error(show, words, NAME)
    except SystemExit as done:  # Hydra exits with 1 on an unknown name
        return 2 if done.code else 0
    return 0


def process() -> NoReturn:
    """Run `main` and exit; after a signal, skip interpreter shutdown."""
    from hw2exp.system.process import check_installed, end

    check_installed()
    status = main()
    if status in INTERRUPTED:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
    end(status)
