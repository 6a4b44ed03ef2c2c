import numpy as np
import pytest

from hw2exp.philox import integers, philox, words_of


def words(*values):
    return tuple(np.array([value], dtype=np.uint64) for value in values)


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0, 0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF, 0xFFFFFFFF),
            (0xFFFFFFFF,) * 4,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0xA4093822, 0x299F31D0),
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers_of_the_reference_library(key, counter, expected):
    """Random123's kat_vectors, philox 4x32 with 10 rounds."""
    assert tuple(philox(words(*key), words(*counter))[:, 0]) == expected


def test_arrays_are_many_single_calls():
    seeds = np.array([0, 1, 2**40 + 3], dtype=np.uint64)
    blocks = np.arange(5, dtype=np.uint64)
    zero = np.zeros(1, dtype=np.uint64)
    low, high = words_of(seeds[:, None])
    many = philox((low, high), (blocks[None], zero[None], zero[None], zero[None]))
    for i, seed in enumerate(seeds):
        for j, block in enumerate(blocks):
            one = philox(words_of(np.array([seed])), words(block, 0, 0, 0))
            assert (one[:, 0] == many[:, i, j]).all()


def test_integers_cover_the_range_and_nothing_else():
    edges = np.array([0, 2**32 - 1], dtype=np.uint64)
    assert integers(edges, (10, 21)).tolist() == [10, 20]
