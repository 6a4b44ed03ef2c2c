"""Replay the random draws of the published notebook, the only stream with a history.

The notebook (08-seq_classification, Atcold/NYU-DLSP20) draws its sequences one by one from
NumPy's global MT19937, seeded with 8382. Epochs alternate: training batches, then as many test
batches, from the same stream.
"""

import numpy as np
from numpy.typing import NDArray

from hw2exp.tasks.notebook_kernel import read_sequences
from hw2exp.tasks.task import TEST, Batch
from hw2exp.tasks.temporal_order import TemporalOrder
from hw2exp.tasks.variants.hochreiter import batches_per_epoch


class NotebookStream:
    """The notebook's batches in its own order, the same for every replica.

    Args:
        task: the ranges of length, t1 and t2.
        batch_size: sequences a batch, B.
        seed: the generator's seed; the notebook's is 8382.
    """

    def __init__(self, task: TemporalOrder, batch_size: int, seed: int) -> None:
        self.task = task
        self.batch_size = batch_size
        self.seed = seed
        self._restart()

    def _restart(self) -> None:
        self._generator = np.random.RandomState(self.seed)
        self._words = np.empty(0, np.uint32)  # drawn but not used
        self._position = 0  # batches drawn so far

    def batch(self, seeds: NDArray[np.uint64], step: int, size: int, stream: int) -> Batch:
        """Return a training batch, or the first batches of the test pass that ends its epoch.

        Args:
            seeds: shape ``(R,)``; only their number matters.
            step: the training step, from 1.
            size: sequences a replica: the batch size, or whole batches of a test pass.
            stream: ``TRAIN`` or ``TEST``.

        Returns:
            Symbols ``(R, B, T)`` and labels ``(R, B)``.
        """
        batches = batches_per_epoch(self.batch_size)
        epoch, index = divmod(step - 1, batches)
        first = 2 * batches * epoch + (batches if stream == TEST else index)
        drawn = [self._draw_batch(first + i) for i in range(size // self.batch_size)]
        symbols = np.concatenate([symbols for symbols, _ in drawn])  # (B, T)
        labels = np.concatenate([labels for _, labels in drawn])  # (B,)
        replicas = len(seeds)
        return np.repeat(symbols[None], replicas, 0), np.repeat(labels[None], replicas, 0)

    def _draw_batch(self, index: int) -> Batch:
        if index < self._position:
            self._restart()
        symbols = np.empty((self.batch_size, self.task.padded_length), np.uint8)
        labels = np.empty(self.batch_size, np.uint8)
        ranges = self.task.length, self.task.t1, self.task.t2
        while self._position <= index:
            while (used := read_sequences(self._words, ranges, symbols, labels)) < 0:
                more = self._generator.randint(0, 1 << 32, symbols.size, dtype=np.uint32)
                self._words = np.concatenate([self._words, more])
            self._words = self._words[used:]
            self._position += 1
        return symbols, labels
