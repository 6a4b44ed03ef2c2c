"""Launch a sweep: pass all jobs to the task function at once.

A task function that supports fleets has an attribute ``fleet``, a :data:`FleetFunction`. Any other
task function is called job by job, by Hydra's basic launcher. The jobs of a fleet share a process.
So ``hydra.job.chdir`` is refused, and ``hydra.job.env_set`` and the logging are those of the sweep.
The function's attribute ``jobs`` holds jobs that are already composed, by number and overrides.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn, configure_log, env_override, setup_globals
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hw2exp.config.composition import Composition
from hw2exp.config.folder import check_subfolder
from hw2exp.config.job import Job, current
from hw2exp.config.run_files import SWEEP
from hw2exp.records.write_order import settle_records
from hw2exp.sweeps.hydra_records import write_records
from hw2exp.sweeps.job_return import FleetJobReturn, with_output
from hw2exp.system import disk
from hw2exp.system.lock import PATIENCE, FolderHeldError, hold

Held = Mapping[int | None, FolderHeldError]
"""The error of each job whose folder another process holds, by number; the job must not run."""

FleetFunction = Callable[[Sequence[Job], Held], Sequence[Any]]
"""A function that runs jobs in their existing folders; returns each job's value or exception."""

Key = tuple[int | None, tuple[str, ...]]
"""The number and the overrides of a job."""


class Batches:
    """A runner of batches of jobs; a sweeper may launch several, one after the other.

    Args:
        context: Hydra's context.
        task: the task function.
        sweep: the config of the sweep.
    """

    def __init__(self, context: HydraContext, task: TaskFunction, sweep: DictConfig) -> None:
        self._context = context
        self._task = task
        self._sweep = sweep
        self._known: Mapping[Key, Job] = getattr(task, "jobs", {})
        loader = context.config_loader
        self._composition = Composition(
            loader, lambda lines: loader.load_sweep_config(sweep, list(lines))
        )

    def launch(self, overrides: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        """Run a batch.

        Args:
            overrides: the overrides of each job.
            first: the number of the first job.

        Returns:
            Each job's return, in order.

        Raises:
            HydraException: a job can't be composed, or each job is to have a working directory.
        """
        fleet: FleetFunction | None = getattr(self._task, "fleet", None)
        if fleet is None:
            return self._one_by_one(overrides, first)
        if self._sweep.hydra.job.chdir:
            raise HydraException("hydra.job.chdir=true: the jobs of a fleet share a process")
        root = Path(str(self._sweep.hydra.sweep.dir))
        disk.make_folder(root)
        jobs = [self._job(first + n, lines).at(root) for n, lines in enumerate(overrides)]
        held = _prepare(jobs)
        returns = [FleetJobReturn(job) for job in jobs]
        callbacks = self._context.callbacks
        observed = returns if callbacks.callbacks else []
        for each in observed:
            with current(each.full):
                callbacks.on_job_start(config=each.full, task_function=self._task)
        for each, value in zip(returns, self._call(fleet, jobs, held), strict=True):
            each.set(value)
        for each in observed:
            with current(each.full):
                callbacks.on_job_end(config=each.full, job_return=each)
        return returns

    def _job(self, number: int, lines: Sequence[str]) -> Job:
        known = self._known.get((number, tuple(lines)))
        return self._composition.job(list(lines), number) if known is None else known

    def _one_by_one(self, overrides: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        launcher = BasicLauncher()
        launcher.setup(hydra_context=self._context, task_function=self._task, config=self._sweep)
        return launcher.launch(overrides, first)

    def _call(self, fleet: FleetFunction, jobs: Sequence[Job], held: Held) -> list[Any]:
        """Run the jobs; an exception of the function becomes the outcome of every job."""
        with _environment(self._sweep):
            try:
                return list(fleet(jobs, held))
            except Exception as error:
                return [error] * len(jobs)


def run_batches(
    launcher: Launcher, sweep: DictConfig, batches: Iterable[Sequence[Sequence[str]]]
) -> list[Sequence[JobReturn]]:
    """Record a sweep as Hydra does, but atomically; then launch it.

    Args:
        launcher: the launcher of a batch.
        sweep: the config of the sweep.
        batches: the overrides of each job, by batch.

    Returns:
        Each job's return, by batch.

    Raises:
        Exception: the failure of a job; later batches are not run.
    """
    _record(sweep)
    returns: list[Sequence[JobReturn]] = []
    first = 0
    for batch in batches:
        returns.append(launcher.launch(batch, initial_job_idx=first))
        for each in returns[-1]:
            _ = each.return_value  # raises the failure of a job
        first += len(batch)
    return returns


def run_whole(sweep: DictConfig, task: Callable[[], None]) -> None:
    """Record a sweep whose jobs are not enumerated, and run it.

    Args:
        sweep: the config of the sweep.
        task: the function that runs it.
    """
    _record(sweep)
    with _environment(sweep):
        task()


def _record(sweep: DictConfig) -> None:
    folder = Path(str(sweep.hydra.sweep.dir))
    disk.make_folder(folder)
    disk.remove_parts(folder)
    disk.write_together({folder / SWEEP: OmegaConf.to_yaml(sweep).encode()})


@contextmanager
def _environment(sweep: DictConfig) -> Iterator[None]:
    """Set Hydra's state, logging and environment variables for a sweep."""
    setup_globals()
    configure_log(sweep.hydra.hydra_logging, sweep.hydra.verbose)
    variables: Any = OmegaConf.to_container(sweep.hydra.job.env_set, resolve=True)
    config = with_output(deepcopy(sweep), Path(str(sweep.hydra.sweep.dir)))
    with current(config), env_override(variables):
        yield


def _prepare(jobs: Sequence[Job]) -> dict[int | None, FolderHeldError]:
    """Make the jobs' folders; write the records of each that no other process holds."""
    held: dict[int | None, FolderHeldError] = {}
    deadline = time.monotonic() + PATIENCE
    for job in jobs:
        check_subfolder(job.root, job.subfolder)  # a sweeper's overrides are not yet checked
        disk.make_folder(job.folder, sync=False)
        # In a resumed job's folder, the worker of a killed sweep may still finish its step.
        patience = deadline - time.monotonic() if job.plain.get("resume") else 0.0
        try:
            with hold(job.folder, patience):
                write_records(job)
        except FolderHeldError as error:
            held[job.number] = error
    disk.sync_together({path for job in jobs for path in _above(job)})
    settle_records(job.folder for job in jobs if job.number not in held)
    return held


def _above(job: Job) -> Iterator[Path]:
    """Yield the folders above a job's, up to the sweep's: their new names need a sync."""
    for folder in job.folder.parents:
        yield folder
        if folder == job.root:
            return
