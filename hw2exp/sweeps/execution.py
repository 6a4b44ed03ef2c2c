"""Execute a checked command: lock its folder, and let Hydra run its jobs there."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from omegaconf import open_dict, read_write

from hw2exp.config.command_line import Command
from hw2exp.config.folder import check_folder, reserve
from hw2exp.config.hydra_session import CONFIG_NAME
from hw2exp.config.overrides import assignment
from hw2exp.config.trusted import PER_JOB
from hw2exp.records.checkpoint_folder import check_can_resume
from hw2exp.records.packed import PackedSweep
from hw2exp.records.write_order import settle_records
from hw2exp.sweeps.arm_events import metrics_of, remove_arms, write_arms
from hw2exp.sweeps.executor import FleetExecutor, available_cores
from hw2exp.sweeps.hydra_app import composed_hydra
from hw2exp.sweeps.hydra_records import write_records
from hw2exp.sweeps.job_outcome import JobOutcome
from hw2exp.sweeps.job_runner import JobRunner
from hw2exp.sweeps.packed_sweep import PackedOutcome
from hw2exp.system import disk
from hw2exp.system.interrupt import Interrupt
from hw2exp.system.lock import FolderHeldError, check_above, check_held, hold
from hw2exp.system.problems import ConfigError


def execute(command: Command, interrupt: Interrupt) -> list[JobOutcome] | PackedOutcome:
    """Run the jobs of a command.

    Returns:
        The jobs in order; of an interrupted sweep, only the jobs of batches that began. With packed
        records, the outcome of all jobs.

    Raises:
        ConfigError: the folder can't be made, or its checkpoints are of other runs.
    """
    folder, key, explicit = command.folder, command.folder_key, command.explicit_folder
    try:
        check_above(folder)
    except FolderHeldError as error:
        raise ConfigError([str(error)]) from error
    if command.resumes:
        for each in command.jobs:
            check_can_resume(folder / each.subfolder, each.config)
        if command.grid is not None:
            PackedSweep(folder, command.grid.axes, command.configs).check_resumes()
    with (
        _reserved(command) as folder,
        _alone_in(folder, key if explicit else None),
        _executor(command, folder, interrupt) as executor,
    ):
        runner = JobRunner(folder, interrupt, executor)
        try:
            with runner.failures_raised():
                if command.multirun:
                    _sweep(command, folder, runner)
                else:
                    _single(command, folder, runner)
        except OSError as error:  # Hydra's own writes may name no file
            error.filename = error.filename or str(folder)
            raise
        if command.multirun:
            check_held(folder)
            read = metrics_of if runner.packed is None else runner.packed.metrics_of
            write_arms(folder, runner.outcomes, interrupt, read)
    return runner.outcomes if runner.packed is None else runner.packed


@contextmanager
def _reserved(command: Command) -> Iterator[Path]:
    """Make the folder of the results, unless the command resumes; after a failure, undo that."""
    folder = command.folder
    if command.resumes:
        yield folder
        return
    with disk.undone(folder):
        made = reserve(folder, command.folder_key, command.explicit_folder)
        yield made


@contextmanager
def _alone_in(folder: Path, key: str | None) -> Iterator[None]:
    """Lock the folder; if the user typed its name, check again for results of another process."""
    try:
        with hold(folder):
            if key is not None:
                check_folder(folder, key, explicit=True)
            yield
    except FolderHeldError as error:
        raise ConfigError([str(error)]) from error


@contextmanager
def _executor(
    command: Command, folder: Path, interrupt: Interrupt
) -> Iterator[FleetExecutor | None]:
    """Start the executor of a sweep's fleets."""
    if not command.multirun or command.shared.choice("hydra/launcher") != "fleet":
        yield None
        return
    config = command.jobs[0].config
    with ExitStack() as started:
        starting = config.executor.start(folder, config.workers or available_cores())
        if config.executor.name == "local":  # it has started nothing that must be undone
            yield started.enter_context(starting)
            return
        interrupt.begin_to_save()
        with Interrupt():  # by an exception, so that jobs are taken back
            executor = started.enter_context(starting)
        yield executor


def _single(command: Command, folder: Path, runner: JobRunner) -> None:
    """Write the records, since Hydra's own writes are not atomic; then run the job."""
    (job,) = command.jobs
    runner.single = job.at(folder)
    write_records(runner.single)
    settle_records([folder])
    config = job.full()
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.run.dir, config.hydra.output_subdir = str(folder), None
    with composed_hydra(command.loader, config) as app:
        app.run(CONFIG_NAME, runner, [])


def _sweep(command: Command, folder: Path, runner: JobRunner) -> None:
    """Run the jobs of a sweep; jobs that are known already are not composed again."""
    line = None if command.explicit_folder else assignment(command.folder_key, str(folder))
    grid, jobs = command.grid, command.jobs if command.grid is None else command.grid.templates
    for base in {id(job.base): job.base for job in [command.shared, *jobs]}.values():
        base.belong_to_sweep(folder, line)
    if grid is not None:
        runner.whole = lambda: runner.run_grid(grid)
    elif command.launcher == "fleet":  # other launchers would pickle them for each job
        runner.jobs = {(job.number, job.overrides): job for job in command.jobs}
    if command.resumes:
        remove_arms(folder)
    mine = [str(o.input_line) for o in command.overrides if not o.is_hydra_override()]
    sweep = replace(command.shared, number=None, overrides=tuple(mine))
    with composed_hydra(command.loader, sweep.full()) as app:
        if command.launcher not in PER_JOB or not command.jobs_known:
            app.multirun(CONFIG_NAME, runner, [])  # the config lists the overrides
            return
        with runner.outcomes_read([job.at(folder) for job in command.jobs]):
            app.multirun(CONFIG_NAME, runner, [])
