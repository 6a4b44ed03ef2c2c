"""The frame of a record in TensorBoard's files.

TensorBoard's own writer computes its checksums in Python, byte by byte: for a picture that takes
milliseconds, and more than all else for a row of metrics.
"""

import struct
from typing import Protocol

MASK = 0xA282EAD8
"""Added to a rotated checksum: checksums of what holds checksums are poor."""


class Written(Protocol):
    """What bytes are added to."""

    def write(self, content: bytes) -> int:
        """Add to the end."""


def write_record(file: Written, record: bytes) -> None:
    """Write a record behind its length, each followed by its checksum.

    Args:
        file: where to.
        record: its bytes.

    Source: TensorFlow, ``tensorflow/core/lib/io/record_writer.h``.
    """
    length = struct.pack("<Q", len(record))
    file.write(length + _masked_crc32c(length) + record + _masked_crc32c(record))


def _masked_crc32c(content: bytes) -> bytes:
    from google_crc32c import value

    crc = value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF)
