"""Train fleets in worker processes on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hw2exp.config.groups import Executor
from hw2exp.config.registry import register
from hw2exp.sweeps.executor import FleetExecutor, WorkerExecutor, prepare


@register("executor", "local")
class Local(Executor):
    """Worker processes on this machine, as many as the key ``workers`` says."""

    def prepare(self) -> None:
        """Let workers start while this process imports its modules."""
        prepare()

    @contextmanager
    def start(self, folder: Path, workers: int) -> Iterator[FleetExecutor]:
        """Start no process yet: a worker starts with its first task."""
        with WorkerExecutor(workers) as executor:
            yield executor
