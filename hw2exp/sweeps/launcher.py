"""Launch a sweep: pass all jobs to the task function at once.

A task function that supports fleets has an attribute ``fleet``, a :data:`FleetFunction`. Any other
task function is called job by job, by Hydra's basic launcher. The jobs of a fleet share a process.
So ``hydra.job.chdir`` is refused, and ``hydra.job.env_set`` and the logging are those of the sweep.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import (
    JobReturn,
    configure_log,
    env_override,
    setup_globals,
)
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hw2exp.config.composed_job import ComposedJob, Plain, current
from hw2exp.config.composition import Composition
from hw2exp.config.confinement import check_subfolder
from hw2exp.config.run_files import SWEEP
from hw2exp.records.write_order import settle_records
from hw2exp.sweeps.hydra_records import write_records
from hw2exp.sweeps.job_return import FleetJobReturn, with_output
from hw2exp.system import disk
from hw2exp.system.lock import PATIENCE, FolderHeldError, hold


@dataclass(frozen=True)
class FleetJob:
    """A job for the task function.

    Args:
        number: the job's number in its sweep.
        overrides: the overrides that distinguish the job.
        config: the composed config, plain values; read-only, since jobs share its parts.
        folder: the existing output folder, absolute.
        root: the folder of the sweep, or of the single run, absolute.
        held: the error if another process holds the folder; then the job must not run.
    """

    number: int
    overrides: tuple[str, ...]
    config: Plain
    folder: Path
    root: Path
    held: FolderHeldError | None = None


FleetFunction = Callable[[Sequence[FleetJob]], Sequence[Any]]
"""A function that runs jobs, and returns each job's return value or exception, in order."""


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
            HydraException: a job can't be composed, or the jobs want a working directory each.
        """
        fleet: FleetFunction | None = getattr(self._task, "fleet", None)
        if fleet is None:
            return self._one_by_one(overrides, first)
        if self._sweep.hydra.job.chdir:
            raise HydraException("hydra.job.chdir=true: the jobs of a fleet share a process")
        setup_globals()
        configure_log(self._sweep.hydra.hydra_logging, self._sweep.hydra.verbose)
        composed = [self._composition.job(list(o), first + n) for n, o in enumerate(overrides)]
        disk.make_folder(Path(str(self._sweep.hydra.sweep.dir)))
        deadline = time.monotonic() + PATIENCE
        jobs = [_prepare(job, deadline) for job in composed]
        disk.sync_together({path for job in jobs for path in _above(job)})
        settle_records(job.folder for job in jobs if job.held is None)
        returns = [FleetJobReturn(job, own.folder) for job, own in zip(composed, jobs, strict=True)]
        callbacks = self._context.callbacks
        told = returns if callbacks.callbacks else []
        for each in told:
            with current(each.full):
                callbacks.on_job_start(config=each.full, task_function=self._task)
        for each, value in zip(returns, self._call(fleet, jobs), strict=True):
            each.set(value)
        for each in told:
            with current(each.full):
                callbacks.on_job_end(config=each.full, job_return=each)
        return returns

    def _one_by_one(self, overrides: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        launcher = BasicLauncher()
        launcher.setup(hydra_context=self._context, task_function=self._task, config=self._sweep)
        return launcher.launch(overrides, first)

    def _call(self, fleet: FleetFunction, jobs: Sequence[FleetJob]) -> list[Any]:
        """Run the jobs; an exception of the function becomes the outcome of every job."""
        hydra = self._sweep.hydra
        environment: Any = OmegaConf.to_container(hydra.job.env_set, resolve=True)
        config = with_output(deepcopy(self._sweep), Path(str(hydra.sweep.dir)))
        with current(config), env_override(environment):
            try:
                return list(fleet(jobs))
            except Exception as error:
                return [error] * len(jobs)


def run_batches(
    launcher: Launcher, sweep: DictConfig, batches: Iterable[Sequence[Sequence[str]]]
) -> list[Sequence[JobReturn]]:
    """Record a sweep like Hydra, but whole or not at all; then launch it.

    Args:
        launcher: the launcher of a batch.
        sweep: the config of the sweep.
        batches: the overrides of each job, by batch.

    Returns:
        Each job's return, by batch.

    Raises:
        Exception: the failure of a job; later batches are not run.
    """
    folder = Path(str(sweep.hydra.sweep.dir))
    disk.make_folder(folder)
    disk.remove_parts(folder)
    disk.write_together({folder / SWEEP: OmegaConf.to_yaml(sweep).encode()})
    returns: list[Sequence[JobReturn]] = []
    first = 0
    for batch in batches:
        returns.append(launcher.launch(batch, initial_job_idx=first))
        for each in returns[-1]:
            _ = each.return_value  # raises the failure of a job
        first += len(batch)
    return returns


def _prepare(job: ComposedJob, deadline: float) -> FleetJob:
    """Make a job's folder, and write its records unless another process holds the folder."""
    root = Path(job.select("hydra.sweep.dir"))  # a sweeper's overrides are not yet checked
    check_subfolder(root, job.subfolder)
    folder = Path(os.path.abspath(job.folder))
    disk.make_folder(folder, sync=False)
    held = None
    # In a resumed job's folder, the worker of a killed sweep may still finish its step.
    patience = deadline - time.monotonic() if job.config.get("resume") else 0.0
    try:
        with hold(folder, patience):
            write_records(job, folder)
    except FolderHeldError as error:
        held = error
    assert job.number is not None
    return FleetJob(
        job.number, job.overrides, job.config, folder, Path(os.path.abspath(root)), held
    )


def _above(job: FleetJob) -> Iterator[Path]:
    """Yield the folders above a job's, up to the sweep's: their new names need a sync."""
    for folder in job.folder.parents:
        yield folder
        if folder == job.root:
            return
