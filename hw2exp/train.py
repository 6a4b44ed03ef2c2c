"""The command ``python -m hw2exp.train``: one run, or a sweep with ``-m``."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hw2exp.interrupt import Interrupt

HELP_FLAGS = {"--help", "-h"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: the arguments; by default those of the process.

    Returns:
        The exit status: 0 done, 1 failed, 2 bad input (nothing was created), 3 diverged where
        ``fail_on_divergence`` is set, 130 or 143 interrupted.
    """
    from hw2exp.interrupt import Interrupt

    words = list(sys.argv[1:] if argv is None else argv)
    if HELP_FLAGS & set(words):
        from hw2exp.config.help import help_text

        return _print(help_text())
    with Interrupt() as interrupt:
        from hw2exp.config.problems import ConfigError

        try:
            return _run(words, interrupt)
        except ConfigError as error:
            print("hw2exp: " + " | ".join(error.problems), file=sys.stderr)
            return 2


def _run(words: Sequence[str], interrupt: "Interrupt") -> int:
    """Check the command, then show, or launch."""
    from hw2exp.config.arguments import in_order
    from hw2exp.config.command_line import read
    from hw2exp.config.folder import reserve

    arguments = in_order(words)
    command = read(arguments)
    if command.inspects:
        return _launch(arguments, interrupt)
    if command.jobs[0].config.dry_run:
        from hw2exp.config.help import plan_text

        return _print(plan_text(command))
    from hw2exp.fleet_run import check_machine

    check_machine([job.config for job in command.jobs])
    if interrupt():
        return interrupt.status
    folder = reserve(command.folder, command.folder_key, command.explicit_folder)
    if not command.explicit_folder:
        arguments.append(f"{command.folder_key}='{folder}'")
    return _launch(arguments, interrupt)


def _print(text: str) -> int:
    """Print a long text, which a pager or ``head`` may leave off reading."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    return 0


def _launch(arguments: Sequence[str], interrupt: "Interrupt") -> int:
    """Hand over to Hydra, which writes its records and calls back once a job."""
    import hydra

    from hw2exp.config.command_line import CONFIG_MODULE, CONFIG_NAME, VERSION_BASE

    statuses = [0]

    @hydra.main(f"pkg://{CONFIG_MODULE}", CONFIG_NAME, VERSION_BASE)
    def job(config: Any) -> None:
        statuses.append(_job(config, interrupt))
        if interrupt():  # ends a sweep too
            raise SystemExit(interrupt.status)

    before, sys.argv = sys.argv, [sys.argv[0], *arguments]
    try:
        job()
    finally:
        sys.argv = before
    return max(statuses)


def _job(config: Any, interrupt: "Interrupt") -> int:
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from hw2exp.config.validation import validate
    from hw2exp.fleet_run import run_fleet
    from hw2exp.terminal import print_summary
    from hw2exp.training import InitialLossError

    folder = Path(HydraConfig.get().runtime.output_dir)
    plain: Any = OmegaConf.to_container(config, resolve=True)
    checked = validate(plain)
    try:
        (result,) = run_fleet([checked], [folder], interrupt)
    except (InitialLossError, MemoryError) as error:
        print(f"hw2exp: {error}", file=sys.stderr)
        return 1
    print_summary(result, folder)
    if result.status == "interrupted":
        return interrupt.status
    return 3 if result.status == "diverged" and checked.fail_on_divergence else 0


if __name__ == "__main__":
    sys.exit(main())
