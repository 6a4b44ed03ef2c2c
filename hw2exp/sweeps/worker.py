"""Run a worker process of a sweep: the side that answers tasks."""

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection

from hw2exp.system.interrupt import SAVE, SIGNALS

GROUP = {*SIGNALS, *([SAVE] if SAVE is not None else [])}
"""Signals that a terminal or a cluster sends to all processes of a group at once."""


def work(connection: Connection, modules: Sequence[str]) -> None:
    """Answer tasks until the parent closes the connection.

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
