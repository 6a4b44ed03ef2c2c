"""Philox4x32-10: random words as a pure function of a key and a counter."""

from typing import Any

import numpy as np

from hw2exp.system.kernel_cache import kernel

MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL_0, WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
ROUNDS = 10
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)

# 32-bit words are stored in 64-bit integers, so that a product of two fits.


@kernel
def philox(key: Any, c0: Any, c1: Any, c2: Any, c3: Any) -> Any:
    """Encrypt a counter under a key: four random words, each uniform on ``[0, 2**32)``.

    Args:
        key: the key, 64 bits.
        c0: the counter's first word; all words are ``np.uint64`` below 2**32.
        c1: the second.
        c2: the third.
        c3: the fourth.

    Source: Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", §4.
    """
    k0, k1 = key & LOW, key >> HALF
    for _ in range(ROUNDS):
        product0, product1 = MULTIPLIER_0 * c0, MULTIPLIER_1 * c2
        c0, c1 = (product1 >> HALF) ^ c1 ^ k0, product1 & LOW
        c2, c3 = (product0 >> HALF) ^ c3 ^ k1, product0 & LOW
        k0, k1 = (k0 + WEYL_0) & LOW, (k1 + WEYL_1) & LOW
    return c0, c1, c2, c3


@kernel
def integer(word: Any, bounds: Any) -> Any:
    """Map a word to an integer of a half-open range, uniform up to ``(high - low) / 2**32``.

    Args:
        word: a word of 32 bits.
        bounds: the range, ``(low, high)``.

    Source: Lemire 2019, "Fast random integer generation in an interval", without the rejection.
    """
    low, high = bounds
    return np.int64((word * np.uint64(high - low)) >> HALF) + low
