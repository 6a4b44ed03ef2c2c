"""Read the notebook's sequences from the words of its generator, in compiled code."""

from typing import Any

import numpy as np

from hw2exp.system.kernel_cache import kernel
from hw2exp.tasks.temporal_order import CLASSES, END, PAD, START, A, X


@kernel
def read_integer(words: Any, at: Any, bounds: Any) -> Any:
    """Return an integer as ``RandomState.randint`` draws it, and the place of the next word.

    Words are cut to the bits of the largest integer; those still above it are skipped.

    Args:
        words: 32-bit words of the generator, ``(n,)``.
        at: the place of the first word; if all words are used, the place returned is beyond n.
        bounds: half-open range.
    """
    largest = bounds[1] - bounds[0] - 1
    if largest == 0:
        return bounds[0], at
    mask = 1
    while mask < largest:
        mask = 2 * mask + 1
    while at < len(words):
        value = np.int64(words[at]) & mask
        at += 1
        if value <= largest:
            return bounds[0] + value, at
    return bounds[0], len(words) + 1


@kernel
def read_sequences(words: Any, ranges: Any, symbols: Any, labels: Any) -> Any:
    """Read a batch; return the number of words used, or -1 if there are too few.

    Args:
        words: 32-bit words of the generator, ``(n,)``.
        ranges: half-open ranges of length, t1 and t2.
        symbols: output, ``(B, T)``.
        labels: output, ``(B,)``.
    """
    (B, T), at = symbols.shape, 0
    for b in range(B):
        length, at = read_integer(words, at, ranges[0])
        t1, at = read_integer(words, at, ranges[1])
        t2, at = read_integer(words, at, ranges[2])
        if at + length >= len(words):
            return -1
        row, start = symbols[b], T - length
        row[:start] = PAD
        for t in range(length):
            row[start + t] = A + (words[at + t] & 3)
        label, at = read_integer(words, at + length, (0, len(CLASSES)))
        row[start], row[T - 1] = START, END
        row[start + t1], row[start + t2] = X + label // 2, X + label % 2
        labels[b] = label
    return at
