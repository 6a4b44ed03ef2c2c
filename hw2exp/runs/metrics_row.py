"""Compute rows of the metrics table from the steps since the previous row."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import torch
from numpy.typing import NDArray

from hw2exp.fleet.measurements import EvalMetrics, StepMetrics
from hw2exp.models.axes import means

Floats = NDArray[np.float64]

MEASURED = tuple(each.name for each in fields(StepMetrics))
LOSS, ACCURACY, NORM, CLIPPED, UPDATE, RATE = range(len(MEASURED))


def host(blocks: Sequence[StepMetrics]) -> Floats:
    """Bring blocks of measurements to the CPU, as one array ``(6, n, R)`` in float64.

    Args:
        blocks: the measurements of successive steps, each ``(steps, R)``.
    """
    columns = [torch.cat([getattr(block, name) for block in blocks]) for name in MEASURED]
    return np.stack([column.cpu().numpy() for column in columns], dtype=np.float64)


def trained_columns(since_row: Floats, sizes: NDArray[np.int64]) -> Floats:
    """Return the columns of training steps in the catalog's order, ``(R, rows, 8)``.

    Args:
        since_row: measurements of the steps since the previous row, ``(6, n, R)``.
        sizes: the number of steps of each row, ``(rows,)``; their sum is n.
    """
    ends = np.cumsum(sizes)
    largest = np.fmax.reduceat(since_row[[LOSS, NORM, UPDATE]], ends - sizes, axis=1)
    # Added step by step: the order of numpy's sum depends on the number of replicas.
    accuracy = np.zeros(largest.shape[1:])
    np.add.at(accuracy, np.repeat(np.arange(len(ends)), sizes), since_row[ACCURACY])
    latest = since_row[:, ends - 1]  # (6, rows, R)
    columns = (
        latest[LOSS], largest[0], accuracy / sizes[:, None], latest[NORM], largest[1],
        latest[CLIPPED], largest[2], latest[RATE],
    )  # fmt: skip
    return np.stack(columns, axis=-1).swapaxes(0, 1)


def tested_columns(tested: EvalMetrics) -> Floats:
    """Return the columns of a test pass in the catalog's order, ``(R, 3)``.

    Args:
        tested: the losses and accuracies of the test pass.
    """
    columns = means(tested.losses), tested.losses[:, -1], tested.accuracy
    return np.stack([column.cpu().numpy() for column in columns], axis=-1, dtype=np.float64)
