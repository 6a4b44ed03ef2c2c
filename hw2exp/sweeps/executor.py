"""Local worker processes behind the interface of ``concurrent.futures``.

Unlike the pool of the standard library, a worker that dies takes only its own task with it: the
next task gets a new process.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, ParamSpec, TypeVar

from hw2exp.interrupt import SAVE, SIGNALS

P = ParamSpec("P")
T = TypeVar("T")

PRELOADED = ("hw2exp.fleet_run", "hw2exp.records.tensorboard", "polars")
"""What workers have imported before they are started, where the system can fork."""


METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def prepare() -> None:
    """Begin to import what workers need, in the background, where the system can fork."""
    if METHOD == "forkserver":
        multiprocessing.get_context(METHOD).set_forkserver_preload([*PRELOADED, "__main__"])
        with _importable_main(), _without_interrupt(), _short_temporary_folder():
            forkserver.ensure_running()


LONGEST_FOLDER = 70
"""Bytes of a folder in which the path of a socket fits: systems allow 103 (macOS) or 107."""


@contextmanager
def _short_temporary_folder() -> Iterator[None]:
    """Put the socket that workers are started by into ``/tmp`` where TMPDIR's path is too long."""
    before = tempfile.tempdir
    if len(os.fsencode(tempfile.gettempdir())) > LONGEST_FOLDER:
        tempfile.tempdir = "/tmp"
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def _importable_main() -> Iterator[None]:
    """Keep workers from importing a main program that is no file: one that is typed, or piped."""
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
    """Hand down that signals to a whole group are blocked: the one who started the sweep decides.

    A worker lets those through that it knows what to do with.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP - {signal.SIGINT, signal.SIGTERM})
    resource_tracker.ensure_running()  # now, since it unblocks those two
    signal.pthread_sigmask(signal.SIG_BLOCK, GROUP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


GROUP = {*SIGNALS, *([SAVE] if SAVE is not None else [])}
"""Signals that a terminal or a cluster sends to all processes at once."""


class WorkerDied(Exception):  # noqa: N818
    """A worker ended without an answer."""


class WorkerExecutor(Executor):
    """Runs tasks in processes that stay alive between tasks.

    Args:
        workers: how many at once.
    """

    def __init__(self, workers: int) -> None:
        prepare()
        self._context: Any = multiprocessing.get_context(METHOD)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="worker")
        self._own = threading.local()
        self._processes: set[BaseProcess] = set()
        self._lock = threading.Lock()
        self._interrupted = False

    def check(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Call a function in a worker; nothing comes back where a worker can't be started.

        Args:
            fn: a function that can be pickled.
            args: its arguments, which can be pickled.
            kwargs: likewise.
        """
        try:
            return self.submit(fn, *args, **kwargs).result()
        except WorkerDied:
            return None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in a worker.

        Args:
            fn: a function that can be pickled.
            args: its arguments, which can be pickled.
            kwargs: likewise.
        """
        return self._threads.submit(self._run, fn, args, kwargs)

    def _run(self, fn: Callable[..., T], args: Any, kwargs: Any) -> T:
        """Hand a task to this thread's worker and wait for its answer."""
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
            process = self._context.Process(target=_work, args=(theirs,), daemon=True)
            with _importable_main():
                process.start()
            theirs.close()
            self._processes.add(process)
            if self._interrupted:
                os.kill(process.pid, signal.SIGTERM)
            return _Worker(process, mine)

    def interrupt(self) -> None:
        """Ask all workers to finish the step that they are at."""
        self._interrupted = True
        self.tell(signal.SIGTERM)

    def tell(self, number: int) -> None:
        """Send all workers a signal.

        Args:
            number: which one.
        """
        with self._lock:
            for process in self._processes:
                if process.is_alive() and process.pid is not None:
                    os.kill(process.pid, number)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers once their tasks are done.

        Args:
            wait: return only then.
            cancel_futures: drop the tasks that no worker has begun.
        """
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        if wait:  # the workers are idle now
            for process in self._processes:
                process.kill()
                process.join()


class _Worker:
    def __init__(self, process: BaseProcess, connection: Connection) -> None:
        self.process = process
        self.connection = connection


def _work(connection: Connection) -> None:
    """What a worker does: answer tasks until nobody asks any more."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # The parent decides; and between two tasks there is nothing to save.
    for number in GROUP - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP)
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
        except OSError:  # nobody is there any more
            return
        except Exception as error:  # what can't be pickled
            connection.send((False, RuntimeError(f"{type(error).__name__}: {error}")))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
