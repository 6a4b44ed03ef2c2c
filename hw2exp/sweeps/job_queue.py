"""Start the workers of a Dask cluster as jobs in a queue: Slurm, PBS or LSF.

Dask-jobqueue writes the job scripts, submits and cancels them. A job is one ``dask worker`` command
with a worker process for each core.
"""

import logging
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from dask.utils import parse_bytes
from dask_jobqueue import lsf, pbs, slurm
from dask_jobqueue.core import JobQueueCluster
from distributed import Client, Security
from distributed.core import Status
from tornado.ioloop import PeriodicCallback

from hw2exp.sweeps.job_state import has_ended, last_word
from hw2exp.system import disk
from hw2exp.system.problems import ConfigError, counted
from hw2exp.system.terminal import echo, relative, warn

CLUSTERS = {"slurm": slurm.SLURMCluster, "pbs": pbs.PBSCluster, "lsf": lsf.LSFCluster}
"""The class of each queue's jobs."""

JOBS = ".jobs-"
"""Beginning of the name of a folder in the sweep's folder, with the jobs' logs and credentials."""

LOOK = 2.0
"""Seconds between two looks at the jobs."""

GONE = 15.0
"""A job has ended if none of its workers was there for this many seconds."""

ASK = 30.0
"""Seconds between two questions about jobs whose workers have not come yet."""

EARLY = 3
"""If this many jobs end before any worker has come, no worker is expected any more."""

LOOPBACK = "127.0.0.1:0"


@contextmanager
def queue_cluster(
    kind: str, jobs: int, cores: int, memory: str, deaths: int, folder: Path, **more: Any
) -> Iterator[Client]:
    """Start a scheduler in this process, submit jobs, and wait for the first worker.

    All connections are encrypted. The jobs read their credentials in a folder that only this user
    can read.

    Args:
        kind: the kind of queue.
        jobs: the number of jobs.
        cores: the cores of a job.
        memory: the memory of a core.
        deaths: the deaths of workers after which a task is given up.
        folder: a folder that all machines see.
        more: arguments of the queue's class in dask-jobqueue.

    Raises:
        ConfigError: the queue does not take the jobs, a job script can't name the folder, or the
            jobs end at once.
    """
    folder = folder.absolute()
    if shlex.quote(str(folder)) != str(folder):
        why = "a job script can't name it; must have no spaces or the like"
        raise ConfigError([f"executor={kind}: {folder}: {why}"])
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    settings = {
        "distributed.scheduler.allowed-failures": deaths - 1,
        "distributed.deploy.lost-worker-timeout": "1000 days",  # because _Jobs handles lost workers
    }
    for left in folder.glob(f"{JOBS}*"):  # left by a process that was killed
        disk.remove(left)
    with (
        dask.config.set(settings),
        tempfile.TemporaryDirectory(prefix=JOBS, dir=folder) as own,
        _started(
            kind,
            cores=cores,
            processes=cores,
            memory=f"{cores * parse_bytes(memory)}B",
            # Without exec, a signal kills the script's shell, and the queue then kills the rest.
            python=f"cd {shlex.quote(os.getcwd())} && exec {shlex.quote(sys.executable)}",
            worker_extra_args=[
                *["--dashboard-address", LOOPBACK],
                *["--preload-nanny", "hw2exp.sweeps.nanny"],
            ],
            scheduler_options={"dashboard_address": LOOPBACK},
            security=_credentials(Path(own)),
            log_directory=own,
            silence_logs=logging.CRITICAL,
            **more,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
        _submitted(_Jobs(kind, cluster, jobs, Path(own)), kind, client),
    ):
        yield client


@contextmanager
def _submitted(submitted: "_Jobs", kind: str, client: Client) -> Iterator[None]:
    """Submit jobs, wait for the first worker, and replace jobs that end.

    Raises:
        ConfigError: the queue does not take the jobs, or they end at once.
    """
    cluster, loop = submitted.cluster, submitted.cluster.loop
    assert loop is not None
    try:
        cluster.sync(submitted.fill)
    except (OSError, RuntimeError) as error:
        raise ConfigError([f"executor={kind}: {_reason(error)}"]) from error
    logs = relative(submitted.logs)
    echo(f"{counted(submitted.count, 'job')} submitted, waiting for the first; logs: {logs}")
    renewal = PeriodicCallback(submitted.renew, 1000 * LOOK)
    loop.add_callback(renewal.start)
    try:
        while not client.nthreads():
            if submitted.problem:
                raise ConfigError([f"executor={kind}: {submitted.problem}"])
            time.sleep(LOOK / 10)
        submitted.warns = True
        yield
    finally:
        loop.add_callback(renewal.stop)


def _started(kind: str, **options: Any) -> JobQueueCluster:
    """Start the scheduler of a queue's cluster.

    Raises:
        ConfigError: it can't start, for example because there is no such network interface.
    """
    try:
        return CLUSTERS[kind](**options)
    except Exception as error:
        why = f"can't start the scheduler: {type(error).__name__}: {error}"
        raise ConfigError([f"executor={kind}: {why}"]) from error


def _credentials(folder: Path) -> Security:
    """Make credentials for this sweep, and write the workers' ones into a private folder."""
    security: Security = Security.temporary()
    for name in ("tls_ca_file", "tls_worker_cert", "tls_worker_key"):
        path = folder / name
        disk.write(path, getattr(security, name).encode(), sync=False)
        setattr(security, name, str(path))
    return security


class _Jobs:
    """The jobs of a cluster; a job that ends, at its walltime or before, is submitted again.

    Dask's own ``adapt`` doesn't do this for jobs of several workers.
    """

    def __init__(self, kind: str, cluster: JobQueueCluster, count: int, logs: Path) -> None:
        self._kind = kind
        self.cluster = cluster
        self.count = count
        self.logs = logs
        self._seen: dict[str, float] = {}
        self._early, self._ask_at = 0, 0.0
        self.problem, self.warns = "", False

    async def fill(self) -> None:
        """Submit jobs until there are enough.

        Raises:
            OSError: there is no command to submit a job.
            RuntimeError: the queue does not take a job.
        """
        spec = self.cluster.worker_spec
        while len(spec) < self.count:
            spec.update(self.cluster.new_worker_spec())
        try:
            await self.cluster
        except (OSError, RuntimeError):
            for name, job in self.cluster.workers.items():
                if job.job_id is None:
                    job.status = Status.failed  # needed when the cluster ends
                    del spec[name]
            raise

    async def renew(self) -> None:
        """Submit a job for each that has ended, unless a worker is idle: then no fleet waits."""
        if self.cluster.status != Status.running:  # its end cancels the jobs
            return
        scheduler: Any = self.cluster.scheduler
        workers = scheduler.workers.values()
        names, now = {worker.name for worker in workers}, time.monotonic()
        for job, spec in self.cluster.worker_spec.items():
            if any(f"{job}{suffix}" in names for suffix in spec.get("group", [""])):
                self._seen[job] = now
        ended = [job for job, last in self._seen.items() if now - last > GONE]
        for job in ended:
            del self._seen[job]
        if names:
            self._early = 0
        if now >= self._ask_at:
            self._ask_at = now + ASK
            early = await self._ended_early()
            ended += early
            self._early += len(early)
            if early and self._early >= EARLY:
                said = f"the last one said: {last_word(self.logs)}"
                self._tell(f"{counted(self._early, 'job')} ended before a worker came; {said}")
        if ended:
            await self.cluster.scale_down(ended)
        running = self.cluster.status == Status.running
        if running and all(worker.processing for worker in workers if worker.resources):
            try:
                await self.fill()
            except (OSError, RuntimeError) as error:
                self._tell(_reason(error))

    async def _ended_early(self) -> list[str]:
        """Return some jobs that have ended according to the queue, and whose workers never came."""
        jobs = self.cluster.workers.items()
        waiting = [(name, job.job_id) for name, job in jobs if name not in self._seen]
        return [
            name
            for name, number in waiting[:EARLY]
            if number and await has_ended(self._kind, number)
        ]

    def _tell(self, problem: str) -> None:
        """Note a problem, and warn of it once if the first worker has come already."""
        if self.warns and problem != self.problem:
            warn(problem)
        self.problem = problem


def _reason(error: Exception) -> str:
    """Return the last line of a failed command's output, as a reason."""
    said = [line for line in str(error).splitlines() if line and not line.endswith(":")]
    return f"can't submit a job: {said[-1]}"
