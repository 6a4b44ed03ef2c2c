"""The interface of a task: classify sequences of symbols."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

TRAIN, TEST, CHECK, POPULATION = range(4)
"""Streams of batches; no two share a draw."""

Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Symbols ``(R, B, T)`` and labels ``(R, B)``."""


class Task:
    """A task as a pure function of seed and step; base class of the tasks.

    Training starts at the loss ln C, where C is the number of classes: so each class must be drawn
    equally often.
    """

    symbols: ClassVar[str]
    """The alphabet, a letter for each symbol; the index after the last one is padding."""

    classes: ClassVar[str]
    """A letter for each class."""

    @property
    def padded_length(self) -> int:
        """Return T, the length of every sequence after padding in front."""
        raise NotImplementedError

    def batch(self, seeds: NDArray[np.uint64], step: int, size: int, stream: int = TRAIN) -> Batch:
        """Draw the batch of a step, a function of its arguments alone.

        Args:
            seeds: one seed a replica, shape ``(R,)``.
            step: the training step.
            size: sequences a replica, B.
            stream: ``TRAIN``, ``TEST``, ``CHECK`` or ``POPULATION``.

        Returns:
            Symbols ``(R, B, T)``, indices into ``symbols`` or the padding after them, and labels
            ``(R, B)``, indices into ``classes``.
        """
        raise NotImplementedError

    def text(self, symbols: NDArray[np.uint8], label: int) -> str:
        """Return a sequence as readable text, such as ``"BXaYbE → R"``.

        Args:
            symbols: indices, ``(T,)``; padding is left out.
            label: index into ``classes``.
        """
        letters = [self.symbols[index] for index in symbols if index < len(self.symbols)]
        return f"{''.join(letters)} → {self.classes[label]}"


def generators(seeds: NDArray[np.uint64], step: int, stream: int) -> list[np.random.Generator]:
    """Return a generator for each replica, a pure function of seed, step and stream.

    Args:
        seeds: one seed a replica, ``(R,)``.
        step: the training step.
        stream: the stream.
    """
    start = [0, 0, step, stream]
    philoxes = [np.random.Philox(counter=start, key=int(seed)) for seed in seeds]
    return [np.random.Generator(each) for each in philoxes]
