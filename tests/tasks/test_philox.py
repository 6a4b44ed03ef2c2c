import numpy as np
import pytest

from hw2exp.tasks.philox import integer, philox


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        (0, (0, 0, 0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            0xFFFFFFFF_FFFFFFFF,
            (0xFFFFFFFF,) * 4,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            0x299F31D0_A4093822,
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers_of_the_reference_library(key, counter, expected):
    """Random123's kat_vectors, philox 4x32 with 10 rounds."""
    assert philox(np.uint64(key), *map(np.uint64, counter)) == expected


def test_integers_cover_the_range_and_nothing_else():
    edges = [np.uint64(0), np.uint64(2**32 - 1)]
    assert [integer(edge, (10, 21)) for edge in edges] == [10, 20]
