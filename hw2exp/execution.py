"""Executes a checked command: through Hydra, which keeps its records, and calls back."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw2exp.config.command_line import CONFIG_MODULE, CONFIG_NAME, VERSION_BASE, Command
from hw2exp.config.folder import reserve
from hw2exp.config.overrides import assignment
from hw2exp.config.schema import TrainConfig
from hw2exp.config.validation import validate
from hw2exp.interrupt import Interrupt
from hw2exp.records.run_dir import read_finished
from hw2exp.terminal import print_summary, say
from hw2exp.training import InitialLossError

if TYPE_CHECKING:
    from hw2exp.fleet_run import Outcome
    from hw2exp.sweeps.launcher import FleetJob


@dataclass(frozen=True)
class Ended:
    """A job that was executed.

    Args:
        number: of the job in its sweep.
        overrides: what distinguishes it.
        folder: its run folder.
        config: its config.
        outcome: its result, or why there is none.
    """

    number: int
    overrides: tuple[str, ...]
    folder: Path
    config: TrainConfig
    outcome: "Outcome"

    @property
    def objective(self) -> float | None:
        """The final test loss, for a sweeper that minimizes it; infinite where it diverged."""
        if isinstance(self.outcome, Exception):
            return None
        if self.outcome.status == "diverged":
            return math.inf
        return self.outcome.final["test_loss"]

    def status(self, interrupt: Interrupt) -> int:
        """Its share in the exit status.

        Args:
            interrupt: what may have come in between.
        """
        if isinstance(self.outcome, Exception):
            return interrupt.status or 1
        if self.outcome.status == "interrupted":
            return interrupt.status
        diverged = self.outcome.status == "diverged"
        return 3 if diverged and self.config.fail_on_divergence else 0


def execute(
    command: Command, arguments: Sequence[str], interrupt: Interrupt, show: bool = True
) -> list[Ended]:
    """Run what a command asks for.

    Args:
        command: the command.
        arguments: the words that it was read from.
        interrupt: what may come in between.
        show: write to the terminal.

    Returns:
        The jobs in order; of an interrupted sweep, only those of the batches that were begun.

    Raises:
        ConfigError: a folder that can't be made.
    """
    words = list(arguments)
    folder = command.folder
    if not command.resumes:
        folder = reserve(command.folder, command.folder_key, command.explicit_folder)
    if not command.explicit_folder:
        words.append(assignment(command.folder_key, str(folder)))
    ended: list[Ended] = []
    try:
        hand_to_hydra(words, ended, interrupt, show)
    except SystemExit:
        if not ended:
            raise
    return ended


def hand_to_hydra(
    words: Sequence[str], ended: list[Ended], interrupt: Interrupt, show: bool = True
) -> None:
    """Let Hydra take over; it calls back once a run, or once a batch of a sweep.

    Args:
        words: the command's words.
        ended: takes the jobs that have ended.
        interrupt: what may come in between.
        show: write to the terminal.
    """
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from hw2exp.sweeps.launcher import JobFailed

    def job(config: Any) -> float | None:
        plain: Any = OmegaConf.to_container(config, resolve=True)
        folder = Path(HydraConfig.get().runtime.output_dir)
        ended.append(_single(validate(plain), folder, interrupt, show))
        return ended[-1].objective

    def fleet(jobs: "Sequence[FleetJob]") -> list[float | Exception | None]:
        batch = _batch(jobs, interrupt, show)
        ended.extend(batch)
        if interrupt():  # ends a sweep too
            raise SystemExit(interrupt.status)
        failed = [isinstance(each.outcome, Exception) for each in batch]
        return [
            JobFailed(str(each.outcome)) if no else each.objective
            for each, no in zip(batch, failed, strict=True)
        ]

    job.fleet = fleet  # type: ignore[attr-defined]  # for the launcher: a function of several jobs
    before, sys.argv = sys.argv, [sys.argv[0], *words]
    try:
        hydra.main(f"pkg://{CONFIG_MODULE}", CONFIG_NAME, VERSION_BASE)(job)()
    finally:
        sys.argv = before


def _single(config: TrainConfig, folder: Path, interrupt: Interrupt, show: bool) -> Ended:
    from hw2exp.fleet_run import run_fleet

    (outcome,) = run_fleet([config], [folder], interrupt, show)
    if isinstance(outcome, Exception):
        print(f"hw2exp: {outcome}", file=sys.stderr)
    elif show:
        print_summary(outcome, folder)
    return Ended(0, (), folder, config, outcome)


def _batch(jobs: "Sequence[FleetJob]", interrupt: Interrupt, show: bool) -> list[Ended]:
    """Run jobs as fleets; those of a resumed sweep that have their result are not run again."""
    from hw2exp.sweeps.arms import print_sweep
    from hw2exp.sweeps.sweep import run_sweep

    configs = [validate(job.config) for job in jobs]
    outcomes: dict[int, Outcome] = {}
    for place, (job, config) in enumerate(zip(jobs, configs, strict=True)):
        done = read_finished(job.folder) if config.resume is not None else None
        if done is not None:
            outcomes[place] = done
    missing = [place for place in range(len(jobs)) if place not in outcomes]
    if outcomes and show:
        say(f"{len(outcomes)} of {len(jobs)} jobs have their result; {len(missing)} run")
    found = run_sweep(
        [configs[place] for place in missing],
        [jobs[place].folder for place in missing],
        interrupt,
        show=show,
    )
    outcomes |= zip(missing, found, strict=True)
    ended = [
        Ended(job.number, job.overrides, job.folder, configs[place], outcomes[place])
        for place, job in enumerate(jobs)
    ]
    for each in ended:
        if isinstance(each.outcome, Exception) and not interrupt():
            print(f"hw2exp: job {each.number} ({' '.join(each.overrides)}): {_why(each.outcome)}",
                  file=sys.stderr)  # fmt: skip
    if show:
        print_sweep([each.overrides for each in ended], [each.outcome for each in ended],
                    jobs[0].folder.parent)  # fmt: skip
    return ended


def _why(error: Exception) -> str:
    """What a person needs to know of an error; of one that should not be, all there is."""
    from hw2exp.sweeps.executor import WorkerDied

    if isinstance(error, InitialLossError | MemoryError | WorkerDied | OSError):
        return str(error)
    return "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
