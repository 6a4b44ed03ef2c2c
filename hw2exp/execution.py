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
from hw2exp.config.problems import ConfigError
from hw2exp.config.schema import TrainConfig
from hw2exp.config.validation import validate
from hw2exp.interrupt import Interrupt
from hw2exp.records.run_dir import RunResult, read_finished
from hw2exp.terminal import print_summary, say
from hw2exp.training import InitialLossError

if TYPE_CHECKING:
    from hw2exp.fleet_run import Outcome
    from hw2exp.sweeps.launcher import FleetJob


TOLD = 20
"""Jobs of which it is said one by one why they failed."""


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

    from hw2exp.sweeps.launcher import JobFailed

    def give(batch: list[Ended]) -> list[float | Exception | None]:
        ended.extend(batch)
        _report(batch, interrupt)
        if interrupt():  # ends a sweep too
            raise SystemExit(interrupt.status)
        return [
            JobFailed(str(each.outcome)) if isinstance(each.outcome, Exception) else each.objective
            for each in batch
        ]

    def job(config: Any) -> float | None:
        (value,) = give([_single(_only_job(config), interrupt, show)])
        return None if isinstance(value, Exception) else value

    def fleet(jobs: "Sequence[FleetJob]") -> list[float | Exception | None]:
        return give(_batch(jobs, interrupt, show))

    job.fleet = fleet  # type: ignore[attr-defined]  # for the launcher: a function of several jobs
    before, sys.argv = sys.argv, [sys.argv[0], *words]
    try:
        hydra.main(f"pkg://{CONFIG_MODULE}", CONFIG_NAME, VERSION_BASE)(job)()
    finally:
        sys.argv = before


def _only_job(config: Any) -> "FleetJob":
    """A single run, or the job that a launcher without fleets has come to."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    from hw2exp.sweeps.launcher import FleetJob

    plain: Any = OmegaConf.to_container(config, resolve=True)
    hydra = HydraConfig.get()
    sweep = hydra.mode == RunMode.MULTIRUN
    number, overrides = (hydra.job.num, tuple(hydra.overrides.task)) if sweep else (0, ())
    return FleetJob(number, overrides, plain, Path(hydra.runtime.output_dir))


def _single(job: "FleetJob", interrupt: Interrupt, show: bool) -> Ended:
    from hw2exp.fleet_run import run_fleet

    config, outcome = _known(job)
    if outcome is None:
        (outcome,) = run_fleet([config], [job.folder], interrupt, show)
        if show and isinstance(outcome, RunResult):
            print_summary(outcome, job.folder)
    return Ended(job.number, job.overrides, job.folder, config, outcome)


def _known(job: "FleetJob") -> "tuple[TrainConfig, Outcome | None]":
    """A job's config, and its outcome where it need not run: it is done, or can't be."""
    try:
        config = validate(job.config)
    except ConfigError as error:  # a sweeper made up what the command didn't say
        return TrainConfig.model_construct(**job.config), error
    return config, read_finished(job.folder) if config.resume is not None else None


def _batch(jobs: "Sequence[FleetJob]", interrupt: Interrupt, show: bool) -> list[Ended]:
    """Run jobs as fleets; those of a resumed sweep that have their result are not run again."""
    from hw2exp.sweeps.arms import print_sweep
    from hw2exp.sweeps.sweep import run_sweep

    configs, known = zip(*map(_known, jobs), strict=True)
    missing = [place for place, outcome in enumerate(known) if outcome is None]
    if show and len(missing) < len(jobs):
        say(f"{len(jobs) - len(missing)} of {len(jobs)} jobs have their result")
    found = run_sweep(
        [configs[place] for place in missing],
        [jobs[place].folder for place in missing],
        interrupt,
        show=show,
    )
    outcomes = dict(enumerate(known)) | dict(zip(missing, found, strict=True))
    if show:
        names = [job.overrides for job in jobs]
        print_sweep(names, list(outcomes.values()), jobs[0].folder.parent)
    return [
        Ended(job.number, job.overrides, job.folder, configs[place], outcomes[place])
        for place, job in enumerate(jobs)
    ]


def _report(batch: Sequence[Ended], interrupt: Interrupt) -> None:
    """Say why jobs have failed; what an interrupt has kept from running has not."""
    failed = [(each, each.outcome) for each in batch if isinstance(each.outcome, Exception)]
    if interrupt():
        return
    for each, error in failed[:TOLD]:
        name = f"job {each.number} ({' '.join(each.overrides)}): " if each.overrides else ""
        print(f"hw2exp: {name}{_why(error)}", file=sys.stderr)
    if len(failed) > TOLD:
        print(f"hw2exp: and {len(failed) - TOLD} more jobs failed", file=sys.stderr)


def _why(error: Exception) -> str:
    """What a person needs to know of an error; of one that should not be, all there is."""
    from hw2exp.sweeps.executor import WorkerDied

    if isinstance(error, InitialLossError | MemoryError | WorkerDied | OSError | ConfigError):
        return str(error)
    return "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
