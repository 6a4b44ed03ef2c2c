"""Temporal order: in which order did the two marks come? Symbols and classes on arrays.

A sequence starts with ``B``, ends with ``E``, has a mark ``X`` or ``Y`` at t1 and at t2, and
elsewhere letters drawn uniformly from ``a b c d``. Its class is the order of the marks:
XX → Q, XY → R, YX → S, YY → U. Source: Hochreiter & Schmidhuber 1997, experiment 6a.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw2exp.philox import integers, philox, words_of

SYMBOLS = "XYabcdBE"
CLASSES = "QRSU"
PAD = len(SYMBOLS)
"""Index of padding, which is fed to the model as a zero vector."""

X, A, B, E = (SYMBOLS.index(symbol) for symbol in "XaBE")
TRAIN, TEST, CHECK = range(3)
"""Streams: words of the counter, so that no two streams share a draw."""

LETTERS_PER_WORD = 16  # a letter takes two of a word's 32 bits
LETTERS_PER_BLOCK = 4 * LETTERS_PER_WORD

Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Symbols ``(R, B, T)`` and labels ``(R, B)``."""


@dataclass(frozen=True)
class TemporalOrder:
    """The task as a pure function of seed and step.

    Args:
        length: length of a sequence, half-open range.
        t1: position of the first mark, half-open range.
        t2: position of the second mark, half-open range.
    """

    length: tuple[int, int]
    t1: tuple[int, int]
    t2: tuple[int, int]

    @property
    def padded_length(self) -> int:
        """T: sequences are padded in front to the upper end of the length range."""
        return self.length[1]

    def batch(self, seeds: NDArray[np.uint64], step: int, size: int, stream: int = TRAIN) -> Batch:
        """Draw the batch of a step, a function of its arguments alone.

        Args:
            seeds: one seed a replica, shape ``(R,)``.
            step: the training step that the batch belongs to.
            size: sequences a replica, B.
            stream: ``TRAIN``, ``TEST`` or ``CHECK``; streams are disjoint.

        Returns:
            Symbols ``(R, B, T)``, indices into ``SYMBOLS`` or ``PAD``, and labels ``(R, B)``.
        """
        blocks = 1 + -(-self.padded_length // LETTERS_PER_BLOCK)
        low, high = words_of(seeds[:, None, None])
        counter = (
            np.arange(blocks, dtype=np.uint64)[None, None, :],
            np.arange(size, dtype=np.uint64)[None, :, None],
            np.array(step, dtype=np.uint64),
            np.array(stream, dtype=np.uint64),
        )
        words = philox((low, high), counter)  # (4, R, B, blocks)
        lengths, t1, t2, labels = (
            integers(word, bounds)[..., None]  # (R, B, 1)
            for word, bounds in zip(
                words[..., 0], (self.length, self.t1, self.t2, (0, len(CLASSES))), strict=True
            )
        )
        symbols = letters(np.moveaxis(words[..., 1:], 0, -1), self.padded_length)  # (R, B, T)
        start = self.padded_length - lengths  # (R, B, 1)
        symbols[np.arange(self.padded_length) < start] = PAD
        symbols[..., -1] = E
        np.put_along_axis(symbols, start, B, axis=-1)
        np.put_along_axis(symbols, start + t1, X + labels // 2, axis=-1)
        np.put_along_axis(symbols, start + t2, X + labels % 2, axis=-1)
        return symbols, labels[..., 0].astype(np.uint8)


def letters(words: NDArray[np.uint64], count: int) -> NDArray[np.uint8]:
    """Cut words into distractor letters, two bits each.

    Args:
        words: shape ``(R, B, blocks, 4)``.
        count: letters wanted a sequence, T.

    Returns:
        Symbols among ``a b c d``, shape ``(R, B, T)``.
    """
    octets = words.astype("<u4")[..., None].view(np.uint8)  # (R, B, blocks, 4, 4)
    bits = (octets[..., None] >> np.arange(0, 8, 2, dtype=np.uint8)) & np.uint8(3)
    return np.uint8(A) + bits.reshape(*words.shape[:2], -1)[..., :count]  # (R, B, T)


def decode(symbols: Sequence[int] | NDArray[np.uint8], label: int) -> str:
    """Write a sequence for people, as ``"BXaYbE → R"``.

    Args:
        symbols: indices into ``SYMBOLS``; padding is left out. Shape ``(T,)``.
        label: index into ``CLASSES``.
    """
    text = "".join(SYMBOLS[index] for index in symbols if index != PAD)
    return f"{text} → {CLASSES[label]}"


def encode(text: str, padded_length: int | None = None) -> tuple[NDArray[np.uint8], int]:
    """Read a sequence written for people, such as ``"BXaYbE → R"`` or just ``"BXaYbE"``.

    Args:
        text: the symbols, and optionally the class after an arrow.
        padded_length: T; by default the sequence's own length.

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
