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


def check_batch(task: Task, batch: Batch, replicas: int, size: int) -> None:
    """Check the types and shapes of a task's batch, and that it has only known symbols and classes.

    Args:
        task: the task.
        batch: symbols ``(R, B, T)`` and labels ``(R, B)``.
        replicas: the number of replicas, R.
        size: the number of sequences, B.

    Raises:
        ConfigError: a type, a shape or a value is wrong.
    """
    shapes = (replicas, size, task.padded_length), (replicas, size)
    ends = len(task.symbols), len(task.classes) - 1  # the index after the symbols is padding
    for what, own, shape, end in zip(("symbols", "labels"), batch, shapes, ends, strict=True):
        problem = None
        if getattr(own, "shape", None) != shape or own.dtype.kind not in "iu":
            found = f"{own.dtype} {own.shape}" if hasattr(own, "dtype") else type(own).__name__
            problem = f"must be integers of shape {shape}, not {found}"
        elif (least := int(own.min())) < 0 or (largest := int(own.max())) > end:
            problem = f"must be 0 to {end}, not {least if least < 0 else largest}"
        if problem:
            raise ConfigError([f"{type(task).__name__}.batch: {what} {problem}"])
