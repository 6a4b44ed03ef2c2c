"""Frame records for TensorBoard's files.

TensorBoard's own writer computes checksums in Python, byte by byte. That takes milliseconds for a
picture, and most of the time for a row of metrics.
"""

import struct
from typing import Protocol

MASK = 0xA282EAD8
"""The constant added to a rotated checksum: plain checksums are weak on data with checksums."""


class Written(Protocol):
    """A file that bytes are appended to."""

    def write(self, content: bytes) -> int:
        """Append bytes."""


def write_record(file: Written, record: bytes) -> None:
    """Write a record's length, then the record, each followed by its checksum.

    Args:
        file: the file to append to.
        record: the record's bytes.

    Source: TensorFlow, ``tensorflow/core/lib/io/record_writer.h``.
    """
    length = struct.pack("<Q", len(record))
    file.write(length + _masked_crc32c(length) + record + _masked_crc32c(record))


def _masked_crc32c(content: bytes) -> bytes:
    from google_crc32c import value

    crc = value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF)
