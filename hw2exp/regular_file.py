"""Reads files that others may have put there: no device, no pipe, and no more than is expected."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

BEGINNING = 64
"""Bytes that show whether a file of ours has any content: none begins with so many zeros."""


class IrregularError(ValueError):
    """What stands there is no file that could be meant."""


@contextmanager
def opened(path: Path, largest: int, links: bool = True) -> Iterator[BufferedReader]:
    """Open a file that has an end.

    Args:
        path: the file.
        largest: how many bytes it may have.
        links: whether it may be a link to such a file.

    Raises:
        IrregularError: it is something else, or larger.
        OSError: it can't be opened.
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
    """Return whether a file is missing, empty, or of zeros, as a power cut may leave it.

    Args:
        path: the file.
    """
    try:
        with opened(path, sys.maxsize) as file:
            return not file.read(BEGINNING).strip(b"\0")
    except FileNotFoundError:
        return True
    except (IrregularError, OSError):
        return False


def read(path: Path, largest: int, links: bool = True) -> bytes:
    """Read a file that has an end.

    Args:
        path: see :func:`opened`.
        largest: likewise.
        links: likewise.

    Raises:
        IrregularError: it is something else, or larger.
        OSError: it can't be read.
    """
    with opened(path, largest, links) as file:
        return file.read()
