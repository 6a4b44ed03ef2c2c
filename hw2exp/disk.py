"""Every write of the project: whole or not at all, and on the disk before it counts.

All other modules write through this one, so that a test can cut off, or let fail, each of the
system's operations in turn.
"""

import errno
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

PART = ".part"
"""Ends the name of what is not whole yet, which begins with a dot."""

BUFFER = 1 << 16

WAITS = 16
"""Syncs that wait at once. The disk serves them together, in little more than the time of one."""


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Give the system's errors the file's name, where the call had but a number for it."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def make_folder(path: Path, sync: bool = True, mode: int = 0o777) -> None:
    """Make a folder and those above it, where they are missing.

    Args:
        path: the folder.
        sync: wait for the disk.
        mode: who may enter the folder, as for ``os.mkdir``; those above it are for everybody.
    """
    if path.is_dir():
        return
    if not path.parent.exists():
        make_folder(path.parent, sync)
    try:
        new_folder(path, sync, mode)
    except FileExistsError:  # another process was faster
        if not path.is_dir():
            raise


def refuse_link(path: Path) -> None:
    """Refuse a link in the place of a folder that is to be written: it would lead elsewhere.

    Args:
        path: the folder; it may be missing.

    Raises:
        OSError: it is a link.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "is a link; must be a folder", str(path))


@contextmanager
def made_folder(path: Path) -> Iterator[None]:
    """Make a folder and those above it; they go again where a failure leaves them empty.

    Args:
        path: the folder.
    """
    missing = [each for each in (path, *path.parents) if not each.exists()]
    try:
        make_folder(path)
        yield
    except BaseException:
        for each in missing:
            with suppress(OSError):  # not made, or not empty
                os.rmdir(each)
        raise


def new_folder(path: Path, sync: bool = True, mode: int = 0o777) -> None:
    """Make a folder that nobody else has made.

    Args:
        path: the folder.
        sync: wait for the disk.
        mode: who may enter it, as for ``os.mkdir``.

    Raises:
        FileExistsError: it is there.
    """
    os.mkdir(path, mode)
    if sync:
        sync_path(path.parent)


def write(path: Path, content: bytes, sync: bool = True) -> None:
    """Write a file: aside first, then renamed.

    Args:
        path: the file; its folder must exist.
        content: what it is to hold.
        sync: wait for the disk before it gets its name; for that name see :func:`sync_path`.
    """
    _write_aside({path: content}, sync)


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files, each whole or not at all; return once contents and names are on the disk.

    Args:
        files: contents by path; the folders must exist.
    """
    _write_aside(files, wait=True)
    sync_together({path.parent for path in files})


def _write_aside(files: Mapping[Path, bytes], wait: bool) -> None:
    parts = {path.with_name(f".{path.name}.{os.getpid()}{PART}"): path for path in files}
    try:
        for part, path in parts.items():
            _write_new(part, files[path], sync=wait and len(parts) == 1)
        if wait and len(parts) > 1:
            sync_together(parts)
        for part, path in parts.items():
            os.replace(part, path)
    except BaseException as error:
        for part in parts:
            _forget(part)
        if isinstance(error, OSError):  # of the part nobody knows
            error.filename = str(parts.get(Path(str(error.filename)), next(iter(files))))
        raise


def publish(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of files: aside first, then renamed, every step of it on the disk.

    Args:
        folder: the folder, in one that exists; replaced if it is there.
        files: the contents by name.
    """
    part = folder.with_name(f".{folder.name}{PART}")
    remove(part)
    os.mkdir(part)
    try:
        for name, content in files.items():
            _write_new(part / name, content, sync=True)
        sync_path(part)
        remove(folder)
        os.rename(part, folder)
    except OSError:
        remove(part)
        raise
    sync_path(folder.parent)


def append(path: Path, at: int, content: bytes) -> None:
    """Cut a file back, add to it, and wait for the disk.

    Args:
        path: the file; made if missing.
        at: how many of its bytes stay.
        content: what follows them.
    """
    # O_NONBLOCK: who would wait for a pipe's other end waits for ever.
    with _opened(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK) as file:
        os.ftruncate(file, at)
        os.lseek(file, at, os.SEEK_SET)
        _write_all(file, content)
        os.fsync(file)


def sync_path(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk.

    Args:
        path: the file or the folder.
    """
    with _opened(path, os.O_RDONLY | os.O_NONBLOCK) as file:
        os.fsync(file)


def sync_together(paths: Collection[Path]) -> None:
    """Wait until all of several files and folders are on the disk.

    Args:
        paths: files, and folders for the names in them.
    """
    if paths:
        with ThreadPoolExecutor(min(WAITS, len(paths))) as pool:
            for _ in pool.map(sync_path, paths):
                pass  # raises what the system refused


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; links are not followed.

    A folder is renamed first: what is there under its name is whole.

    Args:
        path: what to remove; it may be missing.
    """
    if path.is_dir() and not path.is_symlink():
        part = path if path.suffix == PART else path.with_name(f".{path.name}.gone{PART}")
        if part != path:
            remove(part)
            os.rename(path, part)
        for below in part.iterdir():
            remove(below)
        os.rmdir(part)
    elif path.is_symlink() or path.exists():
        os.unlink(path)


def remove_parts(folder: Path) -> None:
    """Remove what writes that were cut off have left in a folder.

    Args:
        folder: the folder.
    """
    for path in folder.glob(f".*{PART}"):
        remove(path)


class Stream:
    """A file that grows, buffered; only its end can be lost.

    Args:
        path: the file.
        at: how many of its bytes stay; if left out, it must be new.
    """

    def __init__(self, path: Path, at: int | None = None) -> None:
        new = os.O_CREAT | os.O_EXCL if at is None else os.O_NOFOLLOW
        self.path = path
        self._size = at or 0  # bytes handed to the system
        self._buffer = bytearray()
        self._digest = hashlib.sha256()
        with _about(path):
            self._file: int | None = os.open(path, os.O_RDWR | new, 0o666)
            if at is not None:
                os.ftruncate(self._file, at)
                while part := os.read(self._file, BUFFER):  # to the end, where more is to follow
                    self._digest.update(part)

    def write(self, content: bytes) -> int:
        """Add to the end.

        Args:
            content: what to add.
        """
        self._buffer += content
        self._digest.update(content)
        if len(self._buffer) > BUFFER:
            self.flush()
        return len(content)

    def flush(self) -> None:
        """Hand to the system what was added."""
        if self._file is not None and self._buffer:
            content, self._buffer = bytes(self._buffer), bytearray()
            with _about(self.path):
                _write_all(self._file, content)
            self._size += len(content)

    def tell(self) -> int:
        """How long the file is."""
        return self._size + len(self._buffer)

    def sha256(self) -> str:
        """The digest of all that is in it."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Close it; nothing that was not flushed is written."""
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    with _about(path):
        file = os.open(path, flags, 0o666)
        try:
            yield file
        finally:
            os.close(file)


def _write_new(path: Path, content: bytes, sync: bool) -> None:
    with _opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW) as file:
        _write_all(file, content)
        if sync:
            os.fsync(file)


def _write_all(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def _forget(path: Path) -> None:
    """Remove a file on the way out of a failure, which must not hide behind another."""
    with suppress(OSError):
        os.unlink(path)
