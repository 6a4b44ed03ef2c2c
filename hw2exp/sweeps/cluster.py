"""Run a sweep on a Dask cluster, from the leading process."""

import logging
import secrets
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import ParamSpec, TypeVar

import dask
from distributed import Client, KilledWorker, LocalCluster, Security

from hw2exp.config.own_code import digest_of
from hw2exp.config.registry import ADDED_CHOICES, own_modules
from hw2exp.sweeps.executor import (
    METHOD,
    ClusterLost,
    FleetExecutor,
    WorkerDied,
    importable_main,
)
from hw2exp.sweeps.membership import ENDED, TOKEN, Membership, SweepFacts, perform, problem_of, tell
from hw2exp.system import disk
from hw2exp.system.interrupt import SAVE
from hw2exp.system.lock import hold
from hw2exp.system.problems import ConfigError, counted
from hw2exp.system.terminal import echo, warn

P = ParamSpec("P")
T = TypeVar("T")

FLEETS = ".fleets"
"""The folder in a sweep's folder with the token and the progress of the fleets."""

LOOPBACK = "127.0.0.1"
PATIENCE = 10.0
"""Seconds to wait for a scheduler at the start."""

COUNTED, COUNTED_EACH = 0.5, 2e-3
"""Seconds between two counts of the workers: the least, and those for each worker."""


class ClusterExecutor(FleetExecutor):
    """An executor whose workers are processes of a Dask cluster.

    Args:
        client: the connection to the scheduler.
        token: the random word that names the sweep's plugin and resource.
        workers: the number of workers to divide the jobs among.
        shared: a folder that all workers see.
    """

    def __init__(self, client: Client, token: str, workers: int, shared: Path) -> None:
        super().__init__(workers, shared)
        self._client = client
        self._token = token
        self._engine = client.get_executor(pure=False, resources={token: 1})
        self._slots, self._count_at = workers, 0.0
        self._lost = ClusterLost(f"the scheduler {client.scheduler_info()['address']} is gone")

    def slots(self) -> int:
        """Return the number of workers that take part now.

        Raises:
            ClusterLost: the scheduler is gone.
        """
        if time.monotonic() >= self._count_at:
            with self._connected():
                self._slots = len(members(self._client, self._token))
            self._count_at = time.monotonic() + max(COUNTED, self._slots * COUNTED_EACH)
        return self._slots

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in a worker, which adds ``interrupt``, ``patience`` and ``worker``."""
        future: Future[T] = Future()
        with self._connected():
            task = self._engine.submit(perform, self._token, fn, *args)
        task.add_done_callback(lambda task: self._pass_on(task, future))
        return future

    def _pass_on(self, task: Future[T], future: Future[T]) -> None:
        """Pass a task's end on; replace the engine's failures by errors of the bench."""
        error = self._lost if task.cancelled() else task.exception()
        if isinstance(error, KilledWorker):
            _, worker, allowed = error.args
            times = counted(allowed + 1, "worker")
            error = WorkerDied(f"{times} died under its fleet, the last one at {worker.address}")
        if error is None:
            future.set_result(task.result())
        else:
            future.set_exception(error)

    def tell(self, number: int) -> None:
        """Pass a signal to save, or to end, on to the sweep's tasks on all machines."""
        if number != SAVE and self.shared is not None:
            with suppress(OSError):
                disk.write(self.shared / ENDED, b"", sync=False)
        with suppress(ClusterLost), self._connected():
            self._client.run(tell, self._token, number, on_error="ignore")

    @contextmanager
    def _connected(self) -> Iterator[None]:
        if self._client.status != "running":
            raise self._lost
        try:
            yield
        except (OSError, RuntimeError, CancelledError) as error:
            raise self._lost from error


def members(client: Client, token: str) -> list[str]:
    """Return the machine of each worker that takes part in a sweep."""
    # Not client.scheduler_info, whose record another thread replaces by one without workers.
    assert client.scheduler is not None
    workers = client.sync(client.scheduler.identity)["workers"].values()
    return [worker["host"] for worker in workers if worker["resources"].get(token)]


@contextmanager
def local_cluster(workers: int, deaths: int) -> Iterator[Client]:
    """Start a scheduler and workers on this machine; only this process's credentials give access.

    Args:
        workers: the number of processes.
        deaths: the number of deaths of workers after which a task is given up.
    """
    _silence()
    settings = {
        "distributed.worker.multiprocessing-method": METHOD,
        "distributed.scheduler.allowed-failures": deaths - 1,
    }
    with (
        importable_main(),
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host=LOOPBACK,
            security=Security.temporary(),
            dashboard_address=f"{LOOPBACK}:0",
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _silence() -> None:
    """Keep Dask's log from the terminal, because the sweep prints what matters."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("distributed", "tornado")):
            logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """Connect to a scheduler.

    Raises:
        ConfigError: there is none at that address.
    """
    _silence()
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except Exception as error:  # of any type: an address may be wrong in many ways
        why = f"{type(error).__name__}: {error}"
        problem = f"executor.scheduler={address}: no scheduler can be reached there: {why}"
        raise ConfigError([problem]) from error
    with client:
        yield client


@contextmanager
def joined(client: Client, folder: Path, workers: int = 0) -> Iterator[ClusterExecutor]:
    """Let all workers of a cluster take part in a sweep, present and future ones.

    Args:
        client: the connection to the scheduler.
        folder: the sweep's folder.
        workers: the number of workers to divide the jobs among; 0: as many as there are now.

    Raises:
        ConfigError: a worker can't take part; one line for each machine.
    """
    shared, token = folder.absolute() / FLEETS, f"hw2exp-{secrets.token_hex(16)}"
    disk.remove(shared)
    disk.make_folder(shared)
    try:
        with hold(shared):
            disk.write(shared / TOKEN, token.encode(), sync=False)
            facts = SweepFacts(token, shared, own_modules(), _choices())
            try:
                _register(client, Membership(facts))
                if not client.nthreads():
                    echo("waiting for the first worker")
                    client.wait_for_workers(1)
                _check(client, token)
                machines = members(client, token)
                _print_begin(client, machines)
                client.subscribe_topic(token, lambda event: warn(event[1]))
                yield ClusterExecutor(client, token, workers or len(machines), shared)
            finally:
                # The scheduler may be gone, and workers that can't import the plugin don't have it.
                with suppress(Exception, CancelledError):
                    client.unregister_worker_plugin(token)
    finally:
        disk.remove(shared)


def _register(client: Client, plugin: Membership) -> None:
    """Give all workers the plugin of a sweep.

    Raises:
        ConfigError: a worker can't take part, for example because it can't import the plugin.
    """
    try:
        client.register_plugin(plugin, name=plugin.facts.token)
    except Exception as error:  # whatever the worker raised
        found: dict[str, object] = {}
        with suppress(Exception):  # the scheduler may be gone
            found = client.run(version, "hw2exp", on_error="return")
        missing = [address for address, each in found.items() if isinstance(each, Exception)]
        where = f"; it is not installed at {', '.join(missing)}" if missing else ""
        why = f"{type(error).__name__}: {error}; needs the same hw2exp{where}"
        raise ConfigError([f"a worker can't take part: {why}"]) from error


def _choices() -> dict[str, str]:
    added = [f"{group}={name}" for group, name in ADDED_CHOICES]
    return {choice: digest for choice in added if (digest := digest_of(choice))}


def _check(client: Client, token: str) -> None:
    problems = client.run(problem_of, token).values()
    if wrong := dict.fromkeys(each for each in problems if each):
        raise ConfigError(wrong)


def _print_begin(client: Client, machines: Sequence[str]) -> None:
    here = f"{counted(len(machines), 'worker')} on {counted(len(set(machines)), 'machine')}"
    link = client.dashboard_link if find_spec("bokeh") else None  # else a page without a picture
    echo(here + (f", watch them at {link}" if link else ""))
