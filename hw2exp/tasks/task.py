"""The interface of a task: classify sequences of symbols."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hw2exp.system.problems import ConfigError

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


def check_batch(task: Task, symbols: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
    """Check that a task's batch holds only its symbols and classes.

    Args:
        task: the task.
        symbols: symbols of its batch, ``(R, B, T)``.
        labels: labels of its batch, ``(R, B)``.

    Raises:
        ConfigError: a symbol or a label is out of range.
    """
    name = type(task).__name__
    if (largest := int(labels.max())) >= len(task.classes):
        raise ConfigError([f"{name}.batch: label {largest}, but {len(task.classes)} classes"])
    if (largest := int(symbols.max())) > len(task.symbols):
        raise ConfigError([f"{name}.batch: symbol {largest}, but {len(task.symbols)} symbols"])
