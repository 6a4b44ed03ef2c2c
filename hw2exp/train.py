"""The command ``python -m hw2exp.train``: one run, or a sweep with ``-m``."""

import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hw2exp.interrupt import Interrupt
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
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from hw2exp.config.command_line import CONFIG_MODULE, CONFIG_NAME, VERSION_BASE

    statuses = [0]

    def job(config: Any) -> float | None:
        plain: Any = OmegaConf.to_container(config, resolve=True)
        outcome = _run_job(plain, Path(HydraConfig.get().runtime.output_dir), "", interrupt)
        return finish([outcome])[0]

    def fleet(jobs: "Sequence[FleetJob]") -> list[float | None]:
        return finish(_fleet(jobs, interrupt))

    def finish(outcomes: "Sequence[Outcome]") -> list[float | None]:
        statuses.extend(outcome.status for outcome in outcomes)
        if interrupt():  # ends a sweep too
            raise SystemExit(interrupt.status)
        return [outcome.objective for outcome in outcomes]

    job.fleet = fleet  # type: ignore[attr-defined]  # for the launcher: a function of several jobs
    before, sys.argv = sys.argv, [sys.argv[0], *arguments]
    try:
        hydra.main(f"pkg://{CONFIG_MODULE}", CONFIG_NAME, VERSION_BASE)(job)()
    finally:
        sys.argv = before
    return max(statuses)


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Args:
        status: its share in the exit status.
        objective: the final test loss, for a sweeper that minimizes it; none if it failed.
    """

    status: int
    objective: float | None


def _fleet(jobs: "Sequence[FleetJob]", interrupt: "Interrupt") -> list[Outcome]:
    """Run the jobs of a sweep, those left out that an interrupt comes before."""
    outcomes = []
    for job in jobs:
        if not interrupt():
            name = f"job {job.number} ({' '.join(job.overrides)}): "
            outcomes.append(_run_job(job.config, job.folder, name, interrupt))
    return outcomes


def _run_job(plain: Mapping[str, Any], folder: Path, name: str, interrupt: "Interrupt") -> Outcome:
    """Run one job, and say how it ended; a resumed sweep's is not run again."""
    from hw2exp.config.problems import ConfigError
    from hw2exp.config.validation import validate
    from hw2exp.records.run_dir import RESULT, read_result
    from hw2exp.run import run_fleet
    from hw2exp.terminal import print_summary
    from hw2exp.training import InitialLossError

    try:
        config = validate(plain)
        done = config.resume is not None and (folder / RESULT).exists()
        result = read_result(folder) if done else None
        if result is None or result.status == "interrupted":
            (result,) = run_fleet([config], [folder], interrupt)
            print_summary(result, folder)
    except (ConfigError, InitialLossError, MemoryError) as error:
        print(f"hw2exp: {name}{error}", file=sys.stderr)
        return Outcome(1, None)
    if result.status == "interrupted":
        return Outcome(interrupt.status, None)
    if result.status == "diverged":
        return Outcome(3 if config.fail_on_divergence else 0, math.inf)
    return Outcome(0, result.final["test_loss"])


if __name__ == "__main__":
    sys.exit(main())
