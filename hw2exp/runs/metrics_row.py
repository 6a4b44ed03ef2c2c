"""Compute a row of the metrics table from the steps since the previous row."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from hw2exp.fleet.loop import EvalMetrics, StepMetrics
from hw2exp.models.axes import means

Floats = NDArray[np.float64]

TESTED = ("loss_test", "loss_test_last", "accuracy_test")
"""Columns of a test pass."""


def columns_of(since_row: Sequence[StepMetrics], tested: EvalMetrics | None) -> dict[str, Floats]:
    """Return the columns of a row, each ``(R,)``.

    Args:
        since_row: measurements of the steps since the previous row, the latest step last.
        tested: the test pass after the latest step, if there was one.
    """
    latest = since_row[-1]
    losses = host([past.loss for past in since_row])  # (steps, R)
    accuracies = host([past.accuracy for past in since_row])
    norms = host([past.grad_norm_raw for past in since_row])
    updates = host([past.update_norm for past in since_row])
    (clipped,), (lr,) = host([latest.grad_norm_clipped]), host([latest.lr])
    columns = {
        "loss_train": losses[-1],
        "loss_train_max": np.fmax.reduce(losses),
        # Accumulated step by step: the order of numpy's sum depends on the number of replicas.
        "accuracy_train": np.add.accumulate(accuracies)[-1] / len(accuracies),
        "grad_norm_raw": norms[-1],
        "grad_norm_raw_max": np.fmax.reduce(norms),
        "grad_norm_clipped": clipped,
        "update_norm_max": np.fmax.reduce(updates),
        "lr": lr,
    }
    if tested is not None:
        test_loss, last = host([means(tested.losses), tested.losses[:, -1]])
        (accuracy,) = host([tested.accuracy])
        columns |= {"loss_test": test_loss, "loss_test_last": last, "accuracy_test": accuracy}
    return columns


def host(tensors: Sequence[torch.Tensor]) -> Floats:
    """Bring tensors of one dtype to the CPU in one transfer: ``(n, R)`` in float64.

    Args:
        tensors: each ``(R,)``.
    """
    stacked: Floats = torch.stack(list(tensors)).cpu().double().numpy()
    return stacked
