"""The command ``python -m hw2exp.train``: one run, or a sweep with ``-m``."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HELP_FLAGS = {"--help", "-h"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: the arguments; by default those of the process.

    Returns:
        The exit status: 0 done, 1 failed, 2 bad input (nothing was created), 3 diverged where
        ``fail_on_divergence`` is set, 130 or 143 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    arguments = ["dry_run=true" if word == "--dry-run" else word for word in arguments]
    if HELP_FLAGS & set(arguments):
        from hw2exp.config.help import help_text

        return _print(help_text())
    from hw2exp.config.command_line import read
    from hw2exp.config.problems import ConfigError

    try:
        command = read(arguments)
    except ConfigError as error:
        print("hw2exp: " + " | ".join(error.problems), file=sys.stderr)
        return 2
    if command.jobs[0].config.dry_run:
        from hw2exp.config.help import plan_text

        return _print(plan_text(command))
    if any(job.config.device == "cuda" for job in command.jobs) and not _has_cuda():
        print("hw2exp: device=cuda: there is no CUDA device; use device=cpu", file=sys.stderr)
        return 2
    return _launch(arguments)


def _print(text: str) -> int:
    """Print a long text, which a pager or ``head`` may leave off reading."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    return 0


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _launch(arguments: Sequence[str]) -> int:
    """Hand over to Hydra, which makes the run folders and calls back once a job."""
    import hydra

    from hw2exp.config.command_line import CONFIG_MODULE, CONFIG_NAME, VERSION_BASE

    statuses = [0]

    @hydra.main(f"pkg://{CONFIG_MODULE}", CONFIG_NAME, VERSION_BASE)
    def job(config: Any) -> None:
        status = _job(config)
        statuses.append(status)
        if status > 128:  # an interrupt ends a sweep too
            raise SystemExit(status)

    before, sys.argv = sys.argv, [sys.argv[0], *arguments]
    try:
        job()
    finally:
        sys.argv = before
    return max(statuses)


def _job(config: Any) -> int:
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from hw2exp.config.validation import validate
    from hw2exp.interrupt import Interrupt
    from hw2exp.models.classifier import NothingToNormalizeError
    from hw2exp.run import run_fleet
    from hw2exp.terminal import print_summary
    from hw2exp.training import InitialLossError

    folder = Path(HydraConfig.get().runtime.output_dir)
    plain: Any = OmegaConf.to_container(config, resolve=True)
    checked = validate(plain)
    with Interrupt() as interrupt:
        try:
            (result,) = run_fleet([checked], [folder], interrupt)
        except (InitialLossError, NothingToNormalizeError) as error:
            print(f"hw2exp: {error}", file=sys.stderr)
            return 1
    print_summary(result, folder)
    if result.status == "interrupted":
        return interrupt.status
    return 3 if result.status == "diverged" and checked.fail_on_divergence else 0


if __name__ == "__main__":
    sys.exit(main())
