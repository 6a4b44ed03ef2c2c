"""The command ``python -m hw2exp.train``: one run, or a sweep with ``-m``."""

import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hw2exp.interrupt import Interrupt
    from hw2exp.records.run_dir import RunResult
    from hw2exp.sweep.launcher import FleetJob

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
    from hw2exp.config.overrides import assignment

    arguments = in_order(words)
    command = read(arguments)
    if command.inspects:
        return _launch(arguments, interrupt)
    if command.jobs[0].config.dry_run:
        from hw2exp.config.help import plan_text

        return _print(plan_text(command))
    from hw2exp.run import check_machine

    check_machine([job.config for job in command.jobs])
    if interrupt():
        return interrupt.status
    folder = command.folder
    if not command.resumes:
        folder = reserve(command.folder, command.folder_key, command.explicit_folder)
    if not command.explicit_folder:
        arguments.append(assignment(command.folder_key, str(folder)))
    return _launch(arguments, interrupt)


def _print(text: str) -> int:
    """Print a long text, which a pager or ``head`` may leave off reading."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    return 0


def _launch(arguments: Sequence[str], interrupt: "Interrupt") -> int:
    """Hand over to Hydra, which writes its records and calls back: once a run, or once a fleet."""
    import hydra

    from hw2exp.config.command_line import CONFIG_MODULE, CONFIG_NAME, VERSION_BASE

    statuses = [0]

    def fleet(jobs: "Sequence[FleetJob]") -> list[float | None]:
        outcomes = _fleet(jobs, interrupt)
        statuses.extend(_status(job, end) for job, end in zip(jobs, outcomes, strict=False))
        if interrupt():  # ends a sweep too
            raise SystemExit(interrupt.status)
        return [_objective(outcome) for outcome in outcomes]

    def job(config: Any) -> float | None:
        (objective,) = fleet([_only_job(config)])
        return objective

    job.fleet = fleet  # type: ignore[attr-defined]  # the fleet launcher calls it instead
    before, sys.argv = sys.argv, [sys.argv[0], *arguments]
    try:
        hydra.main(f"pkg://{CONFIG_MODULE}", CONFIG_NAME, VERSION_BASE)(job)()
    finally:
        sys.argv = before
    return max(statuses)


def _only_job(config: Any) -> "FleetJob":
    """A single run, or the job that a launcher without fleets has come to."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    from hw2exp.sweep.launcher import FleetJob

    plain: Any = OmegaConf.to_container(config, resolve=True)
    hydra = HydraConfig.get()
    sweep = hydra.mode == RunMode.MULTIRUN
    number, overrides = (hydra.job.num, tuple(hydra.overrides.task)) if sweep else (0, ())
    return FleetJob(number, overrides, plain, Path(hydra.runtime.output_dir))


def _fleet(jobs: "Sequence[FleetJob]", interrupt: "Interrupt") -> "list[RunResult | Exception]":
    """Run jobs, those left out that an interrupt comes before.

    Args:
        jobs: the jobs.
        interrupt: says whether to stop.

    Returns:
        The result of each that was begun, or what it failed with.
    """
    outcomes = []
    for job in jobs:
        if not interrupt():
            outcomes.append(_run_job(job, interrupt))
    return outcomes


def _run_job(job: "FleetJob", interrupt: "Interrupt") -> "RunResult | Exception":
    from hw2exp.config.problems import ConfigError
    from hw2exp.config.validation import validate
    from hw2exp.records.run_dir import RESULT, read_result
    from hw2exp.run import run_fleet
    from hw2exp.terminal import print_summary
    from hw2exp.training import InitialLossError

    try:
        config = validate(job.config)  # a sweeper may have made up what the command didn't say
        if config.resume is not None and (job.folder / RESULT).exists():
            before = read_result(job.folder)
            if before.status != "interrupted":
                return before
        (result,) = run_fleet([config], [job.folder], interrupt)
    except (ConfigError, InitialLossError, MemoryError) as error:
        return error
    print_summary(result, job.folder)
    return result


def _status(job: "FleetJob", outcome: "RunResult | Exception") -> int:
    """A job's share in the exit status; says why it failed."""
    if isinstance(outcome, Exception):
        name = f"job {job.number} ({' '.join(job.overrides)}): " if job.overrides else ""
        print(f"hw2exp: {name}{outcome}", file=sys.stderr)
        return 1
    return 3 if outcome.status == "diverged" and job.config["fail_on_divergence"] else 0


def _objective(outcome: "RunResult | Exception") -> float | None:
    """The final test loss, for a sweeper that minimizes it; none if the job failed."""
    if isinstance(outcome, Exception):
        return None
    return math.inf if outcome.status == "diverged" else outcome.final["test_loss"]


if __name__ == "__main__":
    sys.exit(main())
