"""Write files whole or not at all, and sync them to disk before they count.

All other modules write through this one, so that a test can interrupt or fail each system call in
turn.
"""

import errno
import fcntl
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

PART = ".part"
"""Suffix of an incomplete file or folder, whose name begins with a dot."""

BUFFER = 1 << 16

FULL: int | None = getattr(fcntl, "F_FULLFSYNC", None)
"""The request of macOS to write through the disk's own cache, where its fsync stops."""

UNKNOWN_REQUEST = {errno.EINVAL, errno.ENOTSUP, errno.ENOTTY}
"""The errors of a file system that does not know this request; all others are the disk's."""

WAITS = 16
"""Concurrent syncs. The disk serves them together, in little more than the time of one."""


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Add the file's name to errors of calls that know only its descriptor."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def make_folder(path: Path, sync: bool = True, mode: int = 0o777) -> None:
    """Make a folder and its missing parents.

    Args:
        path: the folder.
        sync: wait for the disk.
        mode: permissions, as for ``os.mkdir``; the parents get the default.
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


def refuse_other(path: Path) -> None:
    """Refuse anything but a folder where a folder is to be written; a link would lead elsewhere.

    The path may be missing.

    Raises:
        OSError: something else is there.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "is a link; must be a folder", str(path))
    if path.exists() and not path.is_dir():
        raise OSError(errno.ENOTDIR, "is a file; must be a folder", str(path))


@contextmanager
def made_folder(path: Path) -> Iterator[None]:
    """Make a folder and its missing parents; after a failure, remove those that are empty."""
    with undone(path):
        make_folder(path)
        yield


@contextmanager
def undone(path: Path) -> Iterator[None]:
    """After a failure, remove a folder and parents that have been made within, if empty.

    Args:
        path: the folder.
    """
    missing = [each for each in (path, *path.parents) if not each.exists()]
    try:
        yield
    except BaseException:
        for each in missing:
            with suppress(OSError):  # missing, or not empty
                os.rmdir(each)
        raise


def new_folder(path: Path, sync: bool = True, mode: int = 0o777) -> None:
    """Make a folder that must not exist yet, see :func:`make_folder`.

    Raises:
        FileExistsError: the path exists.
    """
    os.mkdir(path, mode)
    if sync:
        sync_path(path.parent)


def write(path: Path, content: bytes, sync: bool = True) -> None:
    """Write a file under a temporary name, then rename it.

    Args:
        path: the file; its folder must exist.
        content: the new content.
        sync: sync the content before the rename; to sync the name, see :func:`sync_path`.
    """
    _write_aside({path: content}, sync)


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files, each whole or not at all, and sync their contents and names.

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
            with suppress(OSError):  # which would hide the failure
                os.unlink(part)
        if isinstance(error, OSError):  # users know only the final name
            error.filename = str(parts.get(Path(str(error.filename)), next(iter(files))))
        raise


def publish(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of files under a temporary name, then rename it; sync every step.

    Args:
        folder: the folder, whose parent must exist; an existing folder is replaced.
        files: contents by name.
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
    """Truncate a file, append to it, and sync.

    Args:
        path: the file; created if missing.
        at: number of bytes kept.
        content: the bytes appended.
    """
    # O_NONBLOCK: opening a pipe would otherwise wait forever for its other end.
    with _opened(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK) as file:
        os.ftruncate(file, at)
        os.lseek(file, at, os.SEEK_SET)
        _write_all(file, content)
        _fsync(file)


def sync_path(path: Path) -> None:
    """Sync a file's content, or the names in a folder, to disk."""
    with _opened(path, os.O_RDONLY | os.O_NONBLOCK) as file:
        _fsync(file)


def sync_together(paths: Collection[Path]) -> None:
    """Sync several files, and folders for the names in them, concurrently."""
    if paths:
        with ThreadPoolExecutor(min(WAITS, len(paths))) as pool:
            for _ in pool.map(sync_path, paths):
                pass  # raises the errors of the syncs


def remove(path: Path) -> None:
    """Remove a file, or a folder with its contents, if it exists; don't follow links.

    Rename a folder first, so that a folder under its own name is always whole.
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
    """Remove the leftovers of interrupted writes from a folder."""
    for path in folder.glob(f".*{PART}"):
        remove(path)


class Stream:
    """A buffered file that grows; only its end can be lost.

    Args:
        path: the file.
        at: number of bytes kept; without it, the file must not exist.
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
                while part := os.read(self._file, BUFFER):  # moves to the end, for appending
                    self._digest.update(part)

    def write(self, content: bytes) -> int:
        """Append bytes, and return their number."""
        self._buffer += content
        self._digest.update(content)
        if len(self._buffer) > BUFFER:
            self.flush()
        return len(content)

    def flush(self) -> None:
        """Hand the buffer to the system."""
        if self._file is not None and self._buffer:
            content, self._buffer = bytes(self._buffer), bytearray()
            with _about(self.path):
                _write_all(self._file, content)
            self._size += len(content)

    def tell(self) -> int:
        """Return the length of the file in bytes, the buffer included."""
        return self._size + len(self._buffer)

    def sha256(self) -> str:
        """Return the SHA-256 of the whole content, the buffer included."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Close the file without flushing the buffer."""
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
            _fsync(file)


def _fsync(file: int) -> None:
    try:
        if FULL is not None:
            fcntl.fcntl(file, FULL)
            return
    except OSError as error:
        if error.errno not in UNKNOWN_REQUEST:
            raise
    os.fsync(file)


def _write_all(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]
