"""The temporal order task: classify sequences by the order of two marks.

A sequence starts with ``B``, ends with ``E``, has a mark ``X`` or ``Y`` at t1 and at t2, and
elsewhere letters drawn uniformly from ``a b c d``. Its class is the order of the marks:
XX → Q, XY → R, YX → S, YY → U. Source: Hochreiter & Schmidhuber 1997, experiment 6a.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw2exp.system.kernel_cache import kernel
from hw2exp.tasks.philox import integer, philox
from hw2exp.tasks.task import TRAIN, Batch, Task

SYMBOLS = "XYabcdBE"
MARKS = "XY"
CLASSES = "QRSU"
PAD = len(SYMBOLS)
"""Index of padding, a zero vector for the model."""

X, A, START, END = (SYMBOLS.index(symbol) for symbol in "XaBE")
LETTERS_PER_WORD = 16  # a letter takes two of a word's 32 bits
LETTERS_PER_BLOCK = 4 * LETTERS_PER_WORD
TWO, THREE = np.uint64(2), np.uint64(3)


@dataclass(frozen=True)
class TemporalOrder(Task):
    """Temporal order as a pure function of seed and step.

    Args:
        length: length of a sequence, half-open range.
        t1: position of the first mark, half-open range.
        t2: position of the second mark, half-open range.
        framed: begin with ``B`` and end with ``E``; else with letters.
    """

    symbols = SYMBOLS
    classes = CLASSES

    length: tuple[int, int]
    t1: tuple[int, int]
    t2: tuple[int, int]
    framed: bool = True

    @property
    def padded_length(self) -> int:
        """Return T, the length of every sequence after padding in front."""
        return self.length[1]

    def batch(self, seeds: NDArray[np.uint64], step: int, size: int, stream: int = TRAIN) -> Batch:
        """Draw the batch of a step; see :meth:`hw2exp.tasks.task.Task.batch`."""
        symbols = np.empty((len(seeds), size, self.padded_length), np.uint8)
        labels = np.empty((len(seeds), size), np.uint8)
        ranges = self.length, self.t1, self.t2
        draw(seeds, np.uint64(step), np.uint64(stream), ranges, self.framed, symbols, labels)
        return symbols, labels


@kernel
def draw(
    seeds: Any, step: Any, stream: Any, ranges: Any, framed: Any, symbols: Any, labels: Any
) -> None:
    """Draw the sequences of a step.

    The counter's first block determines length, positions and class; further blocks the letters.

    Args:
        seeds: one seed a replica, ``(R,)``.
        step: the training step.
        stream: the stream.
        ranges: half-open ranges of length, t1 and t2.
        framed: write ``B`` and ``E``.
        symbols: output, ``(R, B, T)``.
        labels: output, ``(R, B)``.
    """
    R, B, T = symbols.shape
    for r in range(R):
        for b in range(B):
            row, sequence = symbols[r, b], np.uint64(b)
            words = philox(seeds[r], np.uint64(0), sequence, step, stream)
            start = T - integer(words[0], ranges[0])
            label = integer(words[3], (0, len(CLASSES)))
            row[:start] = PAD
            for t in range(T):
                if t % LETTERS_PER_BLOCK == 0:
                    block = np.uint64(1 + t // LETTERS_PER_BLOCK)
                    w0, w1, w2, w3 = philox(seeds[r], block, sequence, step, stream)
                elif t % LETTERS_PER_WORD == 0:
                    w0, w1, w2 = w1, w2, w3
                if t >= start:
                    row[t] = A + (w0 & THREE)
                w0 = w0 >> TWO
            if framed:
                row[start], row[T - 1] = START, END
            row[start + integer(words[1], ranges[1])] = X + label // 2
            row[start + integer(words[2], ranges[2])] = X + label % 2
            labels[r, b] = label


def encode(text: str, padded_length: int | None = None) -> tuple[NDArray[np.uint8], int]:
    """Parse a sequence such as ``"BXaYbE → R"`` or just ``"BXaYbE"``.

    Args:
        text: the symbols, and optionally the class after an arrow.
        padded_length: length with padding, T; by default the sequence's own length.

    Returns:
        Symbols ``(T,)`` and the label.

    Raises:
        ValueError: an unknown symbol, not exactly two marks, a class that contradicts the marks,
            or more symbols than ``padded_length``.
    """
    sequence, _, written = (part.strip() for part in text.partition("→"))
    unknown = sorted(set(sequence) - set(SYMBOLS))
    if unknown:
        raise ValueError(f"{text!r}: unknown symbols {unknown}, allowed are {list(SYMBOLS)}")
    marks = [symbol for symbol in sequence if symbol in "XY"]
    if len(marks) != 2:
        raise ValueError(f"{text!r}: has {len(marks)} marks X or Y, needs two")
    label = 2 * "XY".index(marks[0]) + "XY".index(marks[1])
    if written and written != CLASSES[label]:
        raise ValueError(f"{text!r}: its class is {CLASSES[label]}, not {written}")
    padding = (len(sequence) if padded_length is None else padded_length) - len(sequence)
    if padding < 0:
        raise ValueError(f"{text!r}: {len(sequence)} symbols don't fit into {padded_length}")
    indices = [PAD] * padding + [SYMBOLS.index(symbol) for symbol in sequence]
    return np.array(indices, dtype=np.uint8), label
