"""One process a folder: whoever works in it holds its lock, and a process that dies lets go.

The lock is the system's (``flock``), on a file that only says who holds it: so nothing has to be
cleaned up after a kill.
"""

import errno
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError as error:
    what = "hw2exp needs Linux or macOS, whose file locks it uses; on Windows, install it in WSL"
    raise ImportError(what) from error

LOCK = ".lock"
PATIENCE = 10.0
"""Seconds to wait for a folder: the workers of a sweep that was killed finish their step."""

TO_SIGN = 1.0
"""Seconds that a holder has to write who it is, over what a killed one may have left there."""

LOOK = 0.05
"""Seconds between two looks at a lock that is waited for."""

_held: dict[tuple[Path, int], int] = {}
"""The open lock of each folder that a thread holds: it may work in one from several places."""


class FolderHeldError(Exception):
    """Another process, or another thread of this one, works in a folder."""


class FolderLostError(OSError):
    """A folder was deleted, moved or taken over while a run worked in it."""


@contextmanager
def hold(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Keep other processes, and other threads of this one, out of a folder.

    Args:
        folder: a folder that exists.
        patience: seconds to wait for whoever is about to leave.

    Raises:
        FolderHeldError: somebody else works there.
        OSError: the file system has no locks, or refuses this one.
    """
    path = folder.resolve() / LOCK
    own = path, threading.get_ident()
    if own in _held:
        yield
        return
    file = _held[own] = _acquire(path, time.monotonic() + patience)
    try:
        yield
    finally:
        del _held[own]
        with suppress(OSError):
            if _is_at(path, file):  # not the lock of whoever has the name now
                path.unlink()  # while it is held: whoever has opened it looks again
        os.close(file)


def check_held(folder: Path) -> None:
    """Make sure that a folder which this thread holds is still the one that it began to hold.

    Whoever deletes or moves the folder takes the lock along: under its name another run may have
    begun, whose files must stay as they are.

    Args:
        folder: the folder.

    Raises:
        FolderLostError: it is not.
    """
    path = folder.resolve() / LOCK
    file = _held.get((path, threading.get_ident()))
    if file is None or not _is_at(path, file):
        what = "was deleted or moved while a run worked there; that run has stopped"
        raise FolderLostError(errno.ESTALE, what, str(folder))


def _acquire(path: Path, deadline: float) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, file):
                with suppress(OSError):  # a courtesy, for which a full disk may have no room
                    os.ftruncate(file, 0)
                    os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())
                return file
        except BlockingIOError:
            holder = _signature(file)
            if time.monotonic() >= deadline + (0 if holder else TO_SIGN):
                os.close(file)
                who = holder or "another process"
                raise FolderHeldError(f"{path.parent}: {who} works there") from None
            time.sleep(LOOK)
        except BaseException as error:
            os.close(file)
            if isinstance(error, OSError):  # of a number: flock knows no name
                error.filename = error.filename or str(path)
            raise
        os.close(file)


def _signature(file: int) -> str | None:
    """Who holds a file, by its own words; none while they are missing or a dead process's."""
    words = os.pread(file, 200, 0).decode("ascii", "replace")
    signed = re.fullmatch(r"process (\d{1,9}) on (.+)", words)
    if not (signed and words.isprintable()):
        return None
    if signed[2] == socket.gethostname():
        try:
            os.kill(int(signed[1]), 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass  # somebody else's, alive
    return words


def _is_at(path: Path, file: int) -> bool:
    """Whether a file is still the one of its name: a holder removes it when it leaves."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(file))
    except (FileNotFoundError, NotADirectoryError):
        return False
