"""Let the processes of a cluster take part in a sweep, after they have checked that they can."""

import importlib
import os
import pickle
import platform
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Reschedule, Worker, WorkerPlugin, get_worker
from distributed.core import Status

from hw2exp.config.own_code import digest_of
from hw2exp.records.checkpoint_folder import COMPUTING
from hw2exp.records.run_dir import versions
from hw2exp.sweeps.worker import GROUP
from hw2exp.system.interrupt import SAVE, Interrupt
from hw2exp.system.lock import holder

ENDED = "ended"
"""Name of the file that tells a worker which comes late that the sweep is to end."""

TOKEN = "token"
"""Name of the file by which a machine checks that it sees the sweep's folder."""

PATIENCE = 120.0
"""Seconds to wait for a run folder. A file server frees the locks of a dead machine when the
machine's lease ends: NFSv4 after 90 s."""


@dataclass(frozen=True)
class SweepFacts:
    """Facts of a sweep that a machine must share to take part.

    Args:
        token: a random word of this sweep alone.
        folder: the folder with the token, held by the leading process.
        modules: the user's modules to import.
        choices: the digest of the code of each of the user's choices, such as ``model=mine``.
        versions: the versions of the software that computes.
    """

    token: str
    folder: Path
    modules: Sequence[str] = ()
    choices: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=lambda: computing())


def computing() -> dict[str, str]:
    """Return the versions that all machines of a sweep must share."""
    python = ".".join(platform.python_version_tuple()[:2])
    found = {name: each for name, each in versions().items() if name in (*COMPUTING, "commit")}
    return {"python": python, **found}


def machine() -> str:
    """Return the name of this machine."""
    return socket.gethostname()


def problem(facts: SweepFacts) -> str | None:
    """Return why this machine can't take part in a sweep, or None if it can.

    Args:
        facts: the facts of the sweep.
    """
    own = computing()
    for name, wanted in facts.versions.items():
        if name in own and own[name] != wanted:
            return f"has {name} {own[name]}, not {wanted}"
    for name in facts.modules:
        try:
            importlib.import_module(name)
        except Exception as error:
            return f"can't import {name}: {type(error).__name__}: {error}"
    for choice, wanted in facts.choices.items():
        if digest_of(choice) != wanted:
            return f"has no {choice}, or of other code; name its module by --import"
    try:
        seen = (facts.folder / TOKEN).read_text(encoding="utf-8")
    except OSError as error:
        return f"can't read {facts.folder / TOKEN}: {error.strerror}; must be on a shared disk"
    if seen != facts.token:
        return f"has another {facts.folder}; must be on a shared disk"
    if holder(facts.folder) is None:
        return f"doesn't see the lock on {facts.folder}; the shared disk must have locks"
    return None


class Membership(WorkerPlugin):
    """A plugin of each worker process, present or to come, for one sweep.

    A worker that can take part gets the sweep's resource, which every fleet asks for. So no other
    worker gets a fleet, and none gets two at once.

    Args:
        facts: the facts with which the worker must agree.
    """

    def __init__(self, facts: SweepFacts) -> None:
        self.facts = facts
        self.problem: str | None = None
        self._running: dict[Any, Interrupt] = {}
        self._ended = False
        self._leaving = False

    async def setup(self, worker: Worker) -> None:
        """Check that the worker can take part, and tell the scheduler."""
        _handle_signals(worker)
        self.problem = problem(self.facts)
        self._ended = (self.facts.folder / ENDED).exists()
        if self.problem is None:
            await worker.set_resources(**{self.facts.token: 1})
            # The scheduler looks for waiting tasks when a worker runs again, not at new resources.
            worker.status = Status.paused
            worker.status = Status.running
        else:
            worker.log_event(self.facts.token, f"{machine()}: {self.problem}; gets no fleets")

    def teardown(self, worker: Worker) -> None:
        """Leave the sweep: the worker ends, or the sweep does."""
        self.leave()

    def leave(self) -> None:
        """Let the running fleet save; it resumes elsewhere."""
        self._leaving = True
        self.pass_on(signal.SIGTERM)

    def transition(self, key: Any, start: str, finish: str, **more: Any) -> None:
        """End the fleet whose leading process is gone."""
        if start == "executing" and finish == "released" and key in self._running:
            self._running[key].tell(signal.SIGTERM)

    def tell(self, number: int) -> None:
        """Follow the leading process's signal to save, or to end."""
        self._ended |= number != SAVE
        self.pass_on(number)

    def pass_on(self, number: int) -> None:
        """Pass a signal on to the running fleet."""
        for interrupt in list(self._running.values()):
            interrupt.tell(number)

    @contextmanager
    def task(self, key: Any) -> Iterator[Interrupt]:
        """Note a running task, and give it the interrupt to poll.

        Raises:
            Reschedule: the worker has left before the task was done.
        """
        interrupt = self._running[key] = Interrupt([])
        if self._ended or self._leaving:
            interrupt.tell(signal.SIGTERM)
        try:
            yield interrupt
        finally:
            del self._running[key]
        if self._leaving and not self._ended:
            raise Reschedule


def _handle_signals(worker: Worker) -> None:
    """Let a worker save on SIGUSR1; on the other signals, let it save, leave its sweeps and end.

    A worker with a nanny ignores the signals that a terminal sends to a group: its nanny decides.
    """
    if threading.current_thread() is not threading.main_thread():
        return

    def members() -> list[Membership]:
        return [each for each in worker.plugins.values() if isinstance(each, Membership)]

    def save(number: int, frame: Any) -> None:
        for member in members():
            member.pass_on(number)

    def leave(number: int, frame: Any) -> None:
        for member in members():
            member.leave()
        worker.loop.add_callback_from_signal(worker.close_gracefully, reason=f"signal {number}")

    for number in GROUP:
        ignored = worker.nanny is not None and number != signal.SIGTERM
        signal.signal(number, save if number == SAVE else signal.SIG_IGN if ignored else leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP)


def perform(token: str, task: Callable[..., Any], *args: Any) -> Any:
    """Perform a sweep's task in a worker, and return its value.

    Args:
        token: the random word of the sweep.
        task: the function to call, which also gets ``interrupt``, ``patience``, ``worker`` and
            ``note``.
        args: its arguments.
    """
    worker = get_worker()
    key = worker.get_current_task()
    member: Any = worker.plugins[token]
    with member.task(key) as interrupt:
        answer = task(
            *args,
            interrupt=interrupt,
            patience=PATIENCE,
            worker=f"{machine()}:{os.getpid()}",
            note=lambda line: worker.log_event(token, line),
        )
    try:
        pickle.loads(pickle.dumps(answer))
    except Exception as error:  # else the leading process would wait for ever
        raise RuntimeError(f"{type(error).__name__}: {error}") from error
    return answer


def tell(token: str, number: int, dask_worker: Worker) -> None:
    """Pass a signal on to a worker's task of a sweep."""
    if member := dask_worker.plugins.get(token):
        member.tell(number)  # type: ignore[attr-defined]


def problem_of(token: str, dask_worker: Worker) -> str | None:
    """Return why a worker can't take part in a sweep, or None if it can."""
    own: Any = dask_worker.plugins[token]
    return None if own.problem is None else f"{machine()}: {own.problem}"
