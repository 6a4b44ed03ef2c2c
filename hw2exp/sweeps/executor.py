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
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib import import_module
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from hw2exp.config.registry import own_modules
from hw2exp.system.interrupt import SAVE, SIGNALS
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


GROUP = {*SIGNALS, *([SAVE] if SAVE is not None else [])}
"""Signals that a terminal or a cluster sends to all processes of a group at once."""


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
            process = self._context.Process(target=_work, args=(theirs, own_modules()), daemon=True)
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


def _work(connection: Connection, modules: Sequence[str]) -> None:
    """Run a worker: answer tasks until the parent closes the connection.

    Args:
        connection: the connection to the parent.
        modules: the modules of the choices that the user's code added.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # The parent handles the other signals, and between two tasks there is nothing to save.
    for number in GROUP - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP)
    for name in modules:
        with suppress(Exception):  # check_own finds missing choices
            import_module(name)
    while True:
        try:
            fn, args, kwargs = connection.recv()
        except EOFError:
            return
        try:
            answer = True, fn(*args, **kwargs)
        except Exception as error:
            error.add_note(traceback.format_exc())
            answer = False, error
        try:
            connection.send(answer)
        except OSError:  # the parent is gone
            return
        except Exception as error:  # the answer can't be pickled
            connection.send((False, RuntimeError(f"{type(error).__name__}: {error}")))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
