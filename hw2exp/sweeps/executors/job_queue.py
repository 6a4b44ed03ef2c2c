"""Train fleets in jobs of a cluster's queue."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hw2exp.config.groups import Executor
from hw2exp.config.knob import shared
from hw2exp.config.registry import register
from hw2exp.sweeps.executor import FleetExecutor
from hw2exp.sweeps.executors.dask import needs_dask
from hw2exp.system.problems import show

NAME = re.compile(r"[\w@][\w.,:/@=+-]*")


@register("executor", "slurm")
@register("executor", "pbs")
@register("executor", "lsf")
class JobQueue(Executor):
    """The queue of a cluster, by dask-jobqueue."""

    jobs: int = shared("jobs in the queue; one that ends is submitted again", ge=1, le=10_000)
    cores: int = shared("cores of a job, each with a worker process", ge=1, le=1024)
    memory: str = shared("memory of each core, such as 2GB", pattern=r"^\d+(\.\d+)? *[kKMGT]i?B$")
    walltime: str = shared("longest time of a job, such as 02:00:00", pattern=r"^[\d:-]+$")
    queue: str | None = shared("queue, or partition, of the jobs; null: the cluster's default")
    interface: str | None = shared(
        "network interface between the machines, such as ib0; null: any, by the host's address"
    )
    directives: list[str] = shared("more directives of the job script, such as --account=lab")
    deaths: int = shared("deaths of workers under a fleet after which it is given up", ge=1)

    def contradictions(self, config: Any) -> list[str]:
        """Return the problems of a job script, where the end of a line would begin a command."""
        problems = super().contradictions(config)
        for key, value in {"queue": self.queue, "interface": self.interface}.items():
            if value is not None and not NAME.fullmatch(value):
                allowed = "must be a name of letters, digits and . , : / @ = + _ -"
                problems.append(f"executor.{key}={show(value)}: {allowed}")
        for each in self.directives:
            if not (each.startswith("-") and each.isprintable()):
                allowed = "must be a line that begins with -"
                problems.append(f"executor.directives={show(each)}: {allowed}")
        return problems

    @contextmanager
    def start(self, folder: Path, workers: int) -> Iterator[FleetExecutor]:
        """Submit the jobs, and check that each machine can take part.

        Raises:
            ConfigError: the queue does not take the jobs, or a machine can't take part.
        """
        handler = signal.getsignal(signal.SIGINT)
        with needs_dask(self.name):
            from hw2exp.sweeps.cluster import joined
            from hw2exp.sweeps.job_queue import queue_cluster
        signal.signal(signal.SIGINT, handler)  # dask-jobqueue has set another
        with (
            queue_cluster(
                self.name,
                self.jobs,
                self.cores,
                self.memory,
                self.deaths,
                folder,
                walltime=self.walltime,
                queue=self.queue,
                interface=self.interface,
                job_extra_directives=self.directives or None,
            ) as client,
            joined(client, folder, self.jobs * self.cores) as executor,
        ):
            yield executor
