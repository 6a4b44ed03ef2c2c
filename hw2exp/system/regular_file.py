"""Read untrusted files: refuse devices, pipes and files that are too large."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

BEGINNING = 64
"""Bytes to read for :func:`is_blank`; no file of this package begins with so many zeros."""


class IrregularError(ValueError):
    """A path leads to no regular file, or to one that is too large."""


@contextmanager
def opened(path: Path, largest: int, links: bool = True) -> Iterator[BufferedReader]:
    """Open a regular file.

    Args:
        path: the file.
        largest: largest size in bytes.
        links: allow a symbolic link to such a file.

    Raises:
        IrregularError: the path is no regular file, or the file is too large.
        OSError: the file can't be opened.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if links else os.O_NOFOLLOW)
    number = os.open(path, flags)
    about = os.fstat(number)
    if not stat.S_ISREG(about.st_mode) or about.st_size > largest:
        os.close(number)
        why = "too large" if stat.S_ISREG(about.st_mode) else "no file"
        raise IrregularError(f"{path.name} is {why}")
    with open(number, "rb") as file:
        yield file


def is_blank(path: Path) -> bool:
    """Return whether a file is missing, empty, or zeroed, as a power cut may leave it."""
    try:
        with opened(path, sys.maxsize) as file:
            return not file.read(BEGINNING).strip(b"\0")
    except FileNotFoundError:
        return True
    except (IrregularError, OSError):
        return False


def read(path: Path, largest: int, links: bool = True) -> bytes:
    """Read a regular file, see :func:`opened`.

    Raises:
        IrregularError: the path is no regular file, or the file is too large.
        OSError: the file can't be read.
    """
    with opened(path, largest, links) as file:
        return file.read()
