"""Execute a checked command through Hydra, which writes its records and calls back."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw2exp.config.command_line import CONFIG_MODULE, CONFIG_NAME, VERSION_BASE, Command
from hw2exp.config.folder import check_folder, reserve
from hw2exp.config.overrides import assignment
from hw2exp.config.repository import confined_configs
from hw2exp.config.run_files import CONFIG
from hw2exp.config.schema import TrainConfig
from hw2exp.config.validation import validate
from hw2exp.models import own_digest
from hw2exp.records.checkpoint_file import Checkpoint
from hw2exp.records.checkpoint_folder import check_goes_on, had_begun
from hw2exp.records.layout import DIAGNOSED, RUN
from hw2exp.records.run_dir import RunResult, read_finished
from hw2exp.records.shown import emptied, mend
from hw2exp.records.write_order import settle_records
from hw2exp.runs.summary import print_summary
from hw2exp.sweeps.failures import report
from hw2exp.sweeps.hydra_records import resolve_record, write_records
from hw2exp.sweeps.job_outcome import JobOutcome
from hw2exp.system.interrupt import Interrupt
from hw2exp.system.lock import FolderHeldError, check_above, check_held, hold
from hw2exp.system.problems import ConfigError, counted
from hw2exp.system.terminal import echo, relative, warn

if TYPE_CHECKING:
    from hw2exp.runs.fleet_run import Outcome
    from hw2exp.sweeps.launcher import FleetJob


def launch(command: Command, interrupt: Interrupt, show: bool = True) -> list[JobOutcome]:
    """Check the machine, then execute a command.

    Args:
        command: the command.
        interrupt: the signals received.
        show: whether to write to the terminal.

    Raises:
        ConfigError: the machine can't run the command; nothing was created.
    """
    if command.multirun:
        from hw2exp.sweeps.executor import prepare

        prepare()  # workers start while this process imports its modules
    from hw2exp.config.jobs import ENUMERATING
    from hw2exp.runs.fleet_run import check_machine
    from hw2exp.runs.inspection import without_run

    configs = [job.config for job in command.jobs]
    check_machine(configs)
    if command.multirun and command.composed.choice("hydra/launcher") == "fleet":
        from hw2exp.sweeps.sweep import check_cells

        check_cells(configs)
    known = not command.multirun or command.composed.choice("hydra/sweeper") in ENUMERATING
    if known and (seeds := without_run(configs)):
        warn(f"diagnostics.seeds: no run has seed {', '.join(map(str, seeds))}")
    return [] if interrupt() else execute(command, interrupt, show)


def execute(command: Command, interrupt: Interrupt, show: bool = True) -> list[JobOutcome]:
    """Run the jobs of a command.

    Args:
        command: the command.
        interrupt: the signals received.
        show: whether to write to the terminal.

    Returns:
        The jobs in order; of an interrupted sweep, only the jobs of batches that began.

    Raises:
        ConfigError: the folder can't be made, or its checkpoints are of other runs.
    """
    words = list(command.words)
    folder, key, explicit = command.folder, command.folder_key, command.explicit_folder
    try:
        check_above(folder)
    except FolderHeldError as error:
        raise ConfigError([str(error)]) from error
    if command.resumes:
        for each in command.jobs:
            cell = own_digest(each.config.model.name)
            check_goes_on(folder / each.subfolder, each.config, cell)
    else:
        folder = reserve(folder, key, explicit)
    if not explicit:
        words.append(assignment(key, str(folder)))
    ended: list[JobOutcome] = []
    with _alone_in(folder, key if explicit else None):
        if not command.multirun:  # Hydra's own writes are not atomic
            write_records(command.composed, Path(os.path.abspath(folder)))
            settle_records([folder])
            words.append("hydra.output_subdir=null")
        elif command.resumes:
            from hw2exp.sweeps.arm_events import remove_arms

            remove_arms(folder)
        try:
            hand_to_hydra(words, ended, interrupt, show, command)
        except SystemExit:
            if not ended:
                raise
        except OSError as error:  # Hydra's own writes may name no file
            error.filename = error.filename or str(folder)
            raise
        if command.multirun:
            from hw2exp.sweeps.arm_events import write_arms

            check_held(folder)
            write_arms(folder, ended, interrupt)
    return ended


@contextmanager
def _alone_in(folder: Path, key: str | None) -> Iterator[None]:
    """Lock the folder; if it was typed, check again for results of another process."""
    try:
        with hold(folder):
            if key is not None:
                check_folder(folder, key, explicit=True)
            yield
    except FolderHeldError as error:
        raise ConfigError([str(error)]) from error


def hand_to_hydra(
    words: Sequence[str],
    ended: list[JobOutcome],
    interrupt: Interrupt,
    show: bool = True,
    command: Command | None = None,
) -> None:
    """Call Hydra, which calls back once for a run, or once a batch of a sweep.

    Args:
        words: the command's words.
        ended: list that receives the jobs that have ended.
        interrupt: the signals received.
        show: whether to write to the terminal.
        command: the command read from the words; none if Hydra only shows something.
    """
    import hydra
    from hydra.core.utils import env_override

    from hw2exp.sweeps.job_return import JobFailed

    def give(batch: list[JobOutcome], folder: Path) -> list[float | Exception | None]:
        ended.extend(batch)
        report(batch, folder, interrupt)
        if interrupt():  # ends a sweep too
            raise SystemExit(interrupt.status)
        return [
            JobFailed(str(each.outcome)) if isinstance(each.outcome, Exception) else each.objective
            for each in batch
        ]

    failures: list[Exception] = []

    def job(config: Any) -> float | None:
        assert command is not None
        with _past_hydra(failures):
            ended = _single(_only_job(config, command), interrupt, show)
            (value,) = give([ended], ended.root)
        return None if isinstance(value, Exception) else value

    def fleet(jobs: "Sequence[FleetJob]") -> list[float | Exception | None]:
        with _past_hydra(failures):
            return give(_batch(jobs, interrupt, show), jobs[0].root)

    job.fleet = fleet  # type: ignore[attr-defined]  # the launcher's: runs several jobs
    before, sys.argv = sys.argv, [sys.argv[0], *words]
    try:
        # Let Hydra raise errors instead of printing them.
        with confined_configs(), env_override({"HYDRA_FULL_ERROR": "1"}):
            hydra.main(f"pkg://{CONFIG_MODULE}", CONFIG_NAME, VERSION_BASE)(job)()
    except SystemExit:
        if failures:
            raise failures[0] from None
        raise
    finally:
        sys.argv = before


@contextmanager
def _past_hydra(failures: list[Exception]) -> Iterator[None]:
    """Hide an error from Hydra, which would print a line of its own about it.

    Args:
        failures: list that receives the error; the SystemExit raised instead ends Hydra silently.
    """
    try:
        yield
    except (OSError, ConfigError) as error:
        failures.append(error)
        raise SystemExit(1) from error


def _only_job(config: Any, command: Command) -> "FleetJob":
    """Return the single run, or the current job of a launcher without fleets.

    The single run keeps its checked and recorded config: in another, ``${now:...}`` would differ.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    from hw2exp.sweeps.launcher import FleetJob

    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    if hydra.mode != RunMode.MULTIRUN:
        return FleetJob(0, (), command.composed.config, folder, folder)
    plain: Any = OmegaConf.to_container(config, resolve=True)
    resolve_record(folder / CONFIG, plain)
    settle_records([folder])
    root = Path(hydra.runtime.cwd, hydra.sweep.dir)  # cwd may differ: hydra.job.chdir
    return FleetJob(hydra.job.num, tuple(hydra.overrides.task), plain, folder, root)


def _single(job: "FleetJob", interrupt: Interrupt, show: bool) -> JobOutcome:
    from hw2exp.runs.fleet_run import run_fleet

    config, known = _known(job)
    outcome = known if isinstance(known, RunResult | Exception) else None
    if outcome is None:
        saved = known if isinstance(known, Checkpoint) else None
        (outcome,) = run_fleet([config], [job.folder], interrupt, show, saved=[saved])
    if show and isinstance(known, RunResult):
        echo(f"{relative(job.folder)} has its result: nothing is left to do")
    if show and isinstance(outcome, RunResult):
        print_summary(outcome, job.folder, job.root)
    return JobOutcome(job.number, job.overrides, job.folder, job.root, config, outcome)


def _known(job: "FleetJob") -> "tuple[TrainConfig, Outcome | Checkpoint | None]":
    """Return a job's config, and its known outcome, or the checkpoint to resume from, or None."""
    try:
        config = validate(job.config)
    except ConfigError as error:  # by values that a sweeper made up
        return TrainConfig.model_construct(**job.config), error
    if job.held is not None:
        return config, job.held
    if config.resume is None:
        return config, None
    if (result := read_finished(job.folder, config.steps, config.eval_every)) is not None:
        if emptied(job.folder):
            _mend(job.folder, config, result)
        return config, result
    from hw2exp.runs.fleet_run import find_start

    try:
        found = find_start(job.folder, config)
    except ConfigError as error:
        return config, error
    if found is None and had_begun(job.folder):
        warn(f"{job.folder} has no checkpoint that can be used: begins again at step 1")
    return config, found


def _mend(folder: Path, config: TrainConfig, result: RunResult) -> None:
    """Restore the lost events and curve of an ended run, or warn that this failed."""
    from hw2exp.records.spike import Spike
    from hw2exp.runs.inspection import inspects

    spikes = [Spike.of(values) for values in result.spikes]
    try:
        with hold(folder):
            mend(folder, config, spikes, result, DIAGNOSED if inspects(config) else RUN)
    except (FolderHeldError, OSError, ValueError) as error:
        warn(f"{folder}: its events or its curve are empty and can't be made again: {error}")


def _batch(jobs: "Sequence[FleetJob]", interrupt: Interrupt, show: bool) -> list[JobOutcome]:
    """Run jobs as fleets; in a resumed sweep, skip the jobs with a result."""
    from hw2exp.sweeps.arms import print_sweep
    from hw2exp.sweeps.sweep import run_sweep

    root = jobs[0].root
    configs, known = zip(*map(_known, jobs), strict=True)
    saved = {
        n: each for n, each in enumerate(known) if each is None or isinstance(each, Checkpoint)
    }
    if show:
        echo(f"{counted(len(jobs), 'job')} → {relative(root)}")
    if show and (done := sum(isinstance(each, RunResult) for each in known)):
        echo(f"{done} of {len(jobs)} jobs have their result")
    if show and (going_on := sum(each is not None for each in saved.values())):
        echo(f"{counted(going_on, 'job')} of {len(jobs)} resume from a checkpoint")
    found = run_sweep(
        [configs[place] for place in saved],
        [jobs[place].folder for place in saved],
        interrupt,
        show=show,
        saved=list(saved.values()),
    )
    outcomes = dict(enumerate(known)) | dict(zip(saved, found, strict=True))
    ended = [
        JobOutcome(job.number, job.overrides, job.folder, root, configs[place], outcomes[place])
        for place, job in enumerate(jobs)
    ]
    if show:
        print_sweep(ended, root)
    return ended
