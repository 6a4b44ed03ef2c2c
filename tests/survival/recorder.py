"""Records what a process does to the files below a folder, as the model of a file system reads it.

The functions of ``os`` are wrapped, so it does not matter who calls them. Writes by other means
are not seen: compare what the model has at the end with the folder.
"""

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.survival.file_system import Operation

CALLS = ("open", "write", "ftruncate", "fsync", "rename", "replace", "unlink", "mkdir",
         "rmdir")  # fmt: skip

Log = Callable[[tuple[int, Operation]], Any]


class Recorder:
    """Records this process; use it as a context.

    Args:
        root: the folder.
        log: takes each operation behind the time at which it was done, by which the operations of
            several processes can be merged.
    """

    def __init__(self, root: Path, log: Log) -> None:
        self._root = os.path.realpath(root)
        self._log = log
        self._handles: dict[int, tuple[str, tuple[int, int]]] = {}
        self._count = itertools.count()
        self._patches = [patch.object(os, name, self._wrapped(name)) for name in CALLS]

    def __enter__(self) -> "Recorder":
        for each in self._patches:
            each.start()
        return self

    def __exit__(self, *error: object) -> None:
        for each in self._patches:
            each.stop()

    def note(self, *operation: Any) -> None:
        """Add to the log.

        Args:
            operation: what was done.
        """
        self._log((time.monotonic_ns(), operation))

    def relative(self, path: Any, folder: int | None = None) -> str | None:
        """Return a path relative to the root; none if it lies elsewhere.

        Args:
            path: the path.
            folder: an open folder that it starts from.
        """
        start = "" if folder is None else os.readlink(f"/proc/self/fd/{folder}")
        whole = os.path.abspath(os.path.join(start, os.fsdecode(path)))
        found = os.path.relpath(whole, self._root)
        return None if found.split("/")[0] == ".." else found

    def _wrapped(self, name: str) -> Callable[..., Any]:
        real = getattr(os, name)
        note = getattr(self, f"_{name}", None)

        def call(*args: Any, **kwargs: Any) -> Any:
            position = None
            if name == "write" and self._handle(args[0]):
                position = os.lseek(args[0], 0, os.SEEK_CUR)
            answer = real(*args, **kwargs)
            if note is not None:
                note(answer, position, *args, **kwargs)
            elif (path := self.relative(args[0], kwargs.get("dir_fd"))) is not None:
                self.note(name, path)
            return answer

        return call

    def _handle(self, file: int) -> str | None:
        """Return the handle of an open file; none if it lies elsewhere.

        Not all files are closed by ``os.close``, so a number may be another file's by now.
        """
        handle, opened = self._handles.get(file, (None, None))
        return handle if opened == _identity(file) else None

    def _open(self, file: int, _: Any, path: Any, flags: int, *mode: int, **more: Any) -> None:
        where = self.relative(path, more.get("dir_fd"))
        self._handles.pop(file, None)
        if where is not None:
            handle = f"{os.getpid()}.{next(self._count)}"
            self._handles[file] = handle, _identity(file)
            self.note("open", where, handle, flags)

    def _write(self, written: int, position: int | None, file: int, content: bytes) -> None:
        if position is not None:
            self.note("write", self._handle(file), position, bytes(content[:written]))

    def _ftruncate(self, _: None, __: Any, file: int, size: int) -> None:
        if handle := self._handle(file):
            self.note("ftruncate", handle, size)

    def _fsync(self, _: None, __: Any, file: int) -> None:
        if handle := self._handle(file):
            self.note("fsync", handle)

    def _rename(self, _: None, __: Any, source: Any, target: Any, **folders: int) -> None:
        own = self.relative(source, folders.get("src_dir_fd"))
        new = self.relative(target, folders.get("dst_dir_fd"))
        if own is not None and new is not None:
            self.note("rename", own, new)

    _replace = _rename


def _identity(file: int) -> tuple[int, int]:
    status = os.fstat(file)
    return status.st_dev, status.st_ino


def tree_of(root: Path) -> dict[str, bytes | None]:
    """Read all that lies below a folder: the content of each file by its path, none of a folder.

    Args:
        root: the folder.
    """
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in sorted(root.rglob("*"))
    }


def put(tree: dict[str, bytes | None], root: Path) -> None:
    """Write what a file system holds into an empty folder.

    Args:
        tree: content by path.
        root: the folder.
    """
    for path, content in sorted(tree.items()):
        if content is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(content)
