"""Read Parquet files from untrusted sources: a few bytes can decode to billions.

The headers of a file's pages hold their decoded sizes, which are added up before any decoding.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw2exp.system import regular_file

if TYPE_CHECKING:
    import polars

LARGEST_FILE, LARGEST_FOOTER = 1 << 30, 1 << 20
"""Largest sizes of a file and of its footer, in bytes."""

ALWAYS, RATIO, LARGEST_TABLE = 1 << 26, 32, 1 << 32
"""The bytes that any file may decode to; the further bytes for each byte of the file (tables of
runs need up to about 20 if most columns are empty); and the most bytes in all."""

MAGIC, WIDTH, PAGE = b"PAR1", 8, 1024  # least bytes of a value and of a page

ROW_GROUPS, COLUMNS, ROWS, META = 4, 1, 3, 3
VALUES, COMPRESSED, DATA_OFFSET, DICTIONARY_OFFSET = 5, 7, 9, 11
PAGE_UNCOMPRESSED, PAGE_COMPRESSED, PAGE_KINDS, PAGE_VALUES = 2, 3, (5, 8), 1
"""Field numbers of parquet.thrift."""

Fields = dict[int, Any]


def read_table(
    path: Path,
    wrong: "Callable[[Mapping[str, polars.DataType]], str | None]",
    content: bytes | None = None,
) -> "polars.DataFrame":
    """Read a table.

    Args:
        path: the file.
        wrong: a function of the columns' types by name that returns an error message, or None.
        content: the content of the file, if it was read before.

    Raises:
        OSError: the file can't be read.
        ValueError: the file is damaged, has wrong columns, or decodes to far more than its size.
    """
    import polars
    from polars.exceptions import PanicException, PolarsError

    content = regular_file.read(path, LARGEST_FILE) if content is None else content
    try:
        check_size(content)
        if problem := wrong(polars.read_parquet_schema(BytesIO(content))):
            raise ValueError(problem)
        return polars.read_parquet(BytesIO(content))
    except (PolarsError, PanicException, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def check_size(content: bytes) -> None:
    """Refuse a Parquet file that decodes to far more than its size.

    Args:
        content: the whole file.

    Raises:
        ValueError: the file decodes to too much, or its headers can't be read.
    """
    most = min(ALWAYS + RATIO * len(content), LARGEST_TABLE)
    try:
        for size in accumulate(_sizes(content)):
            if size > most:
                raise ValueError("decodes to far more than it has bytes")
    except (IndexError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("is no Parquet") from error


def _sizes(content: bytes) -> Iterator[int]:
    """Yield the decoded size, in bytes, of each column of each row group, and of its pages."""
    for group in _footer(content).get(ROW_GROUPS, []):
        for column in group[COLUMNS]:
            yield WIDTH * max(_count(group[ROWS]), _count(column[META][VALUES]))
            yield from _pages(content, column[META])


def _footer(content: bytes) -> Fields:
    """Return the fields of a file's footer."""
    if not content.startswith(MAGIC) or not content.endswith(MAGIC) or len(content) < 12:
        raise ValueError("is no Parquet")
    (length,) = struct.unpack("<I", content[-8:-4])
    begin = len(content) - 8 - length
    if length > LARGEST_FOOTER or begin < len(MAGIC):
        raise ValueError("is no Parquet, or says too much of itself")
    return _Compact(content, begin).fields()


def _pages(content: bytes, column: Fields) -> Iterator[int]:
    """Yield the unpacked size of each page of a column, in bytes.

    Refuse pages with more values than their column declares, because decoders trust the pages.
    """
    at: int = column.get(DICTIONARY_OFFSET) or column[DATA_OFFSET]
    end = at + column[COMPRESSED]
    if not len(MAGIC) <= at <= column[DATA_OFFSET] <= end <= len(content):
        raise ValueError("has pages outside of itself")
    left = column[VALUES]
    while at < end:
        reader = _Compact(content, at)
        header = reader.fields()
        left -= sum(_count(header[kind][PAGE_VALUES]) for kind in PAGE_KINDS if kind in header)
        if left < 0:
            raise ValueError("has more values than it says")
        yield PAGE + _count(header[PAGE_UNCOMPRESSED])
        at = reader.at + _count(header[PAGE_COMPRESSED])


def _count(number: int) -> int:
    if number < 0:
        raise ValueError("has a count below zero")
    return number


class _Compact:
    """A reader of Thrift's compact protocol, which encodes Parquet's headers.

    Args:
        content: the bytes to read.
        at: the offset to begin at.

    Source: Apache Thrift, ``doc/specs/thrift-compact-protocol.md``.
    """

    def __init__(self, content: bytes, at: int) -> None:
        self._content = content
        self.at = at

    def fields(self) -> Fields:
        """Read the fields of a structure by number."""
        found: Fields = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._signed()
            found[number] = head & 15 == 1 if head & 15 in (1, 2) else self._value(head & 15)
        return found

    def _value(self, kind: int) -> Any:
        match kind:
            case 1 | 2 | 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._signed()
            case 7:
                return self._skip(8)
            case 8:
                return self._skip(self._unsigned())
            case 9 | 10:
                head = self._byte()
                count = self._unsigned() if head >> 4 == 15 else head >> 4
                return [self._value(head & 15) for _ in range(count)]
            case 11:
                count = self._unsigned()
                kinds = self._byte() if count else 0
                return [(self._value(kinds >> 4), self._value(kinds & 15)) for _ in range(count)]
            case 12:
                return self.fields()
        raise ValueError("is no Parquet")

    def _byte(self) -> int:
        self.at += 1
        return self._content[self.at - 1]

    def _unsigned(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise ValueError("is no Parquet")

    def _signed(self) -> int:
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self._content):
            raise IndexError
