"""Run tasks in local worker processes, behind the interface of ``concurrent.futures``.

Unlike in the standard library's pool, a worker that dies loses only its own task: the next task
gets a new process.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from hw2exp.config.registry import own_modules
from hw2exp.sweeps.worker import GROUP, work
from hw2exp.system.interrupt import SAVE
from hw2exp.system.replaced import replaced

P = ParamSpec("P")
T = TypeVar("T")

PRELOADED = "hw2exp.sweeps.preloaded"
"""The module that workers have imported when they start, if the system can fork."""

METHOD = "spawn" if sys.platform == "darwin" else "forkserver"
"""How workers start: macOS's own libraries may start threads, which a forked process lacks."""


def prepare(*more: str) -> None:
    """Import the workers' modules in the background, if the system can fork.

    Args:
        more: names of further modules.
    """
    if METHOD == "forkserver":
        modules = [PRELOADED, *more, "__main__"]
        multiprocessing.get_context(METHOD).set_forkserver_preload(modules)
        with importable_main(), _without_interrupt(), _short_temporary_folder():
            forkserver.ensure_running()


LONGEST_FOLDER = 70
"""Longest folder path for a socket, in bytes: systems allow socket paths of 103 (macOS) or 107."""


def _short_temporary_folder() -> AbstractContextManager[None]:
    """Put the fork server's socket into ``/tmp`` if TMPDIR's path is too long."""
    too_long = len(os.fsencode(tempfile.gettempdir())) > LONGEST_FOLDER
    return replaced(tempfile, "tempdir", "/tmp") if too_long else nullcontext()


@contextmanager
def importable_main() -> Iterator[None]:
    """Keep workers from importing a main program that is not a file, but typed or piped."""
    main = vars(sys.modules["__main__"])
    path = main.get("__file__")
    gone = path is not None and not os.path.isfile(path)
    if gone:
        del main["__file__"]
    try:
        yield
    finally:
        if gone:
            main["__file__"] = path


@contextmanager
def _without_interrupt() -> Iterator[None]:
    """Block the signals of ``GROUP`` in child processes: the sweep's main process handles them.

    A worker unblocks them once its own handlers are set.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP - {signal.SIGINT, signal.SIGTERM})
    resource_tracker.ensure_running()  # before the next line, since it unblocks SIGINT and SIGTERM
    signal.pthread_sigmask(signal.SIG_BLOCK, GROUP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerDied(Exception):  # noqa: N818
    """The end of a worker without an answer."""


class ClusterLost(Exception):  # noqa: N818
    """The end of the connection to a cluster."""


class FleetExecutor(Executor):
    """An executor of a sweep's fleets, whose running tasks can be told to save or to end.

    Args:
        workers: the number of workers to divide the jobs among.
        shared: a folder that all workers see; None: the system's folder for temporary files.
    """

    def __init__(self, workers: int, shared: Path | None = None) -> None:
        self.workers = workers
        self.shared = shared

    def slots(self) -> int:
        """Return the number of tasks that can run at once; on a cluster it changes.

        Raises:
            ClusterLost: the cluster is gone.
        """
        return self.workers

    def tell(self, number: int) -> None:
        """Pass a signal to save, or to end, on to all running tasks.

        Args:
            number: the signal's number.
        """


class WorkerExecutor(FleetExecutor):
    """An executor whose worker processes stay alive between tasks.

    Args:
        workers: the largest number of processes.
    """

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        prepare()
        self._context: Any = multiprocessing.get_context(METHOD)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="worker")
        self._own = threading.local()
        self._processes: set[BaseProcess] = set()
        self._lock = threading.Lock()
        self._interrupted = False

    def check(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Call a function in a worker, and wait; return None if the worker dies."""
        try:
            return self.submit(fn, *args, **kwargs).result()
        except WorkerDied:
            return None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in a worker; the function, its arguments and its value are pickled."""
        return self._threads.submit(self._run, fn, args, kwargs)

    def _run(self, fn: Callable[..., T], args: Any, kwargs: Any) -> T:
        """Send a task to this thread's worker, and wait for the answer."""
        worker: _Worker | None = getattr(self._own, "worker", None)
        if worker is None or not worker.process.is_alive():
            worker = self._own.worker = self._start()
        try:
            worker.connection.send((fn, args, kwargs))
            good, answer = worker.connection.recv()
        except (EOFError, OSError) as error:
            worker.process.join()
            self._own.worker = None
            code = worker.process.exitcode or 0
            how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
            raise WorkerDied(f"worker {worker.process.pid} {how}") from error
        if good:
            return answer  # type: ignore[no-any-return]
        raise answer

    def _start(self) -> "_Worker":
        with self._lock:
            mine, theirs = self._context.Pipe()
            process = self._context.Process(target=work, args=(theirs, own_modules()), daemon=True)
            with importable_main():
                process.start()
            theirs.close()
            self._processes.add(process)
            if self._interrupted:
                os.kill(process.pid, signal.SIGTERM)
            return _Worker(process, mine)

    def tell(self, number: int) -> None:
        """Send all workers the signal to save, or for any other signal SIGTERM, which ends them."""
        if number != SAVE:
            number = signal.SIGTERM
            self._interrupted = True
        with self._lock:
            for process in self._processes:
                if process.is_alive() and process.pid is not None:
                    os.kill(process.pid, number)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers once their tasks are done.

        Args:
            wait: whether to return only after the workers have ended.
            cancel_futures: whether to drop the tasks that no worker has begun.
        """
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        if wait:  # the workers are idle now
            for process in self._processes:
                process.kill()
                process.join()


class _Worker(NamedTuple):
    process: BaseProcess
    connection: Connection


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
