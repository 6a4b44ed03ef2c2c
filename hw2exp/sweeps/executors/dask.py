"""Train fleets on a Dask cluster: an existing one, or one of processes on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hw2exp.config.groups import Executor
from hw2exp.config.knob import shared
from hw2exp.config.registry import register
from hw2exp.sweeps.executor import FleetExecutor, available_cores, prepare
from hw2exp.system.problems import ConfigError

DEATHS = 3
"""Default number of deaths of workers after which their fleet is given up."""


@register("executor", "dask")
class Dask(Executor):
    """A Dask cluster."""

    scheduler: str | None = shared(
        "the address of a Dask scheduler that is there, such as tcp://node1:8786; null: start one"
    )
    workers: int = shared("processes of the cluster to start; 0: one for each core", ge=0, le=1024)
    deaths: int = shared(
        "deaths of workers under a fleet after which it is given up, in a cluster to start; 0: 3",
        ge=0,
    )

    def contradictions(self, config: Any) -> list[str]:
        """Return the problems of keys for a new cluster that are set beside a scheduler."""
        problems = super().contradictions(config)
        if self.scheduler is not None:
            own = f"executor.scheduler={self.scheduler} has its own; must be left out"
            knobs = {"workers": self.workers, "deaths": self.deaths}
            problems += [f"executor.{key}={value}: {own}" for key, value in knobs.items() if value]
        return problems

    def prepare(self) -> None:
        """If a cluster will be started, import its workers' modules in the background."""
        if self.scheduler is None:
            prepare("hw2exp.sweeps.membership")

    @contextmanager
    def start(self, folder: Path, workers: int) -> Iterator[FleetExecutor]:
        """Connect to the scheduler or start one, and check that each machine can take part.

        Raises:
            ConfigError: a machine can't take part, or Dask is not installed.
        """
        with needs_dask(self.name):
            from hw2exp.sweeps.cluster import connected, joined, local_cluster
        if self.scheduler is not None:
            with connected(self.scheduler) as client, joined(client, folder) as executor:
                yield executor
        else:
            count = self.workers or available_cores()
            with local_cluster(count, self.deaths or DEATHS) as client:
                client.wait_for_workers(count)
                with joined(client, folder) as executor:
                    yield executor


@contextmanager
def needs_dask(name: str) -> Iterator[None]:
    """Turn a failed import of Dask into an error that tells what to install.

    Raises:
        ConfigError: Dask distributed can't be imported.
    """
    try:
        yield
    except ImportError as error:
        extra = "pip install 'hw2exp[cluster]'"
        raise ConfigError([f"executor={name}: needs Dask ({error}); {extra}"]) from error
