"""Philox4x32-10: random words as a pure function of a key and a counter, on whole arrays."""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
"""32-bit words kept in 64-bit integers, so that a product of two fits."""

MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
ROUNDS = 10
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


def philox(key: tuple[Words, Words], counter: tuple[Words, Words, Words, Words]) -> Words:
    """Encrypt counters under keys: four random words for each pair.

    Args:
        key: two 32-bit words; arrays of any shapes that broadcast together.
        counter: four 32-bit words; likewise.

    Returns:
        Shape ``(4, ...)``, each word uniform on ``[0, 2**32)``.

    Source: Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", §4.
    """
    k0, k1 = key
    c0, c1, c2, c3 = np.broadcast_arrays(*counter, k0)[:4]
    for _ in range(ROUNDS):
        product0 = MULTIPLIERS[0] * c0
        product1 = MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (product1 >> HALF) ^ c1 ^ k0,
            product1 & LOW,
            (product0 >> HALF) ^ c3 ^ k1,
            product0 & LOW,
        )
        k0, k1 = (k0 + WEYL[0]) & LOW, (k1 + WEYL[1]) & LOW
    return np.stack((c0, c1, c2, c3))  # (4, ...)


def words_of(numbers: NDArray[np.uint64]) -> tuple[Words, Words]:
    """Split 64-bit numbers into their low and high words.

    Args:
        numbers: any shape.
    """
    return numbers & LOW, numbers >> HALF


def integers(words: Words, bounds: tuple[int, int]) -> NDArray[np.int64]:
    """Map words to integers of a half-open range, uniform up to ``(high - low) / 2**32``.

    Args:
        words: any shape.
        bounds: ``(low, high)``.

    Source: Lemire 2019, "Fast random integer generation in an interval", without the rejection.
    """
    low, high = bounds
    return ((words * np.uint64(high - low)) >> HALF).astype(np.int64) + low
