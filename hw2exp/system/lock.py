"""Lock folders, so that only one process works in each.

The lock is the system's (``flock``), which ends with its process: nothing has to be cleaned up
after a kill. The content of the lock file only names the holder.
"""

import errno
import fcntl
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = ".lock"
PATIENCE = 10.0
"""Seconds to wait for a folder, since the workers of a killed sweep finish their step."""

TO_SIGN = 1.0
"""Seconds to wait for a new holder's signature, which replaces that of a killed one."""

LOOK = 0.05
"""Seconds between two attempts to take a lock."""

GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
"""Errors of a file that is not there; the last one where another machine has removed it."""

_held: dict[tuple[Path, int], tuple[int, os.stat_result]] = {}
"""File number of each lock, by its path and thread; a thread may hold a folder several times."""


class FolderHeldError(Exception):
    """Another process, or another thread of this process, works in a folder."""


class FolderLostError(OSError):
    """A folder was deleted, moved or taken over while a run worked in it."""


@contextmanager
def hold(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Lock a folder against other processes and other threads of this process.

    Args:
        folder: an existing folder.
        patience: seconds to wait for another holder.

    Raises:
        FolderHeldError: another process or thread holds the folder.
        OSError: the file system has no locks, or refuses this lock.
    """
    path = folder.resolve() / LOCK
    own = path, threading.get_ident()
    if own in _held:
        yield
        return
    _held[own] = _acquire(path, time.monotonic() + patience), os.stat(path.parent)
    try:
        yield
    finally:
        _release(path, _held.pop(own)[0])


@contextmanager
def locked(path: Path, patience: float) -> Iterator[None]:
    """Lock a file, which is made for that and removed at the end.

    Args:
        path: the file, in an existing folder.
        patience: seconds to wait for another holder.

    Raises:
        FolderHeldError: another process or thread holds the file.
        OSError: the file system has no locks, or refuses this lock.
    """
    file = _acquire(path, time.monotonic() + patience)
    try:
        yield
    finally:
        _release(path, file)


def check_held(folder: Path) -> None:
    """Check that the path of a folder still leads to the folder that this thread locked.

    A folder that was deleted or moved takes its lock along. Another run may have started at the
    same path; its files must not be touched.

    Raises:
        FolderLostError: another folder, or another holder's lock, is at that path.
    """
    path = folder.resolve() / LOCK
    own = path, threading.get_ident()
    if own in _held:
        file, there = _held[own]
        if _is_at(path, file):
            return
        with suppress(OSError, FolderHeldError):
            if os.path.samestat(os.stat(path.parent), there):  # only the lock file was removed
                _held[own] = _acquire(path, time.monotonic()), there
                os.close(file)
                return
    what = "was deleted or moved while a run worked there; that run has stopped"
    raise FolderLostError(errno.ESTALE, what, str(folder))


def check_above(folder: Path) -> None:
    """Check that no other process works in a folder above: a sweep owns its jobs' folders.

    Raises:
        FolderHeldError: another process holds a folder above.
    """
    for parent in folder.resolve().parents:
        if any(held == parent / LOCK for held, _ in _held):
            continue
        if who := holder(parent):
            raise FolderHeldError(f"{parent}: {who} works there")


def holder(folder: Path) -> str | None:
    """Return who holds a folder, or None if nobody does."""
    try:
        file = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # no lock, or none of ours
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _signature(file) or "another process"
    except OSError:
        return None
    finally:
        os.close(file)
    return None


def _acquire(path: Path, deadline: float) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, file):
                with suppress(OSError):  # optional, and the disk may be full
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
            if isinstance(error, OSError):  # flock gets a file number, so the error has no name
                if error.errno == errno.ESTALE and time.monotonic() < deadline + TO_SIGN:
                    continue  # a holder on another machine has removed the file
                error.filename = error.filename or str(path)
            raise
        os.close(file)


def _release(path: Path, file: int) -> None:
    with suppress(OSError):
        if _is_at(path, file):  # else the path is another holder's lock
            path.unlink()  # before the release: a waiting process notices and opens a new file
    os.close(file)


def _signature(file: int) -> str | None:
    """Return the holder's signature in a lock file, or None if missing or a dead process's."""
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
            pass  # a live process of another user
    return words


def _is_at(path: Path, file: int) -> bool:
    """Return whether a path still leads to an open file; a holder deletes the file at release."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(file))
    except OSError as error:
        if error.errno in GONE:
            return False
        raise
