"""Hold the measurements of training steps and test passes."""

from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from hw2exp.fleet.state import FleetState


@dataclass(frozen=True)
class StepMetrics:
    """The measurements of n training steps, each ``(n, R)``, of the replicas that took part.

    Args:
        loss: mean loss of the batch, before the update.
        accuracy: share of the batch classified correctly.
        grad_norm_raw: norm of a replica's whole gradient; all norms are in float64.
        grad_norm_clipped: gradient norm after clipping.
        update_norm: norm of the change of a replica's parameters.
        lr: the scheduled learning rate.
    """

    loss: Tensor
    accuracy: Tensor
    grad_norm_raw: Tensor
    grad_norm_clipped: Tensor
    update_norm: Tensor
    lr: Tensor

    def __getitem__(self, index: Any) -> "StepMetrics":
        """Return some of the measurements, indexed as a tensor ``(n, R)`` is."""
        return StepMetrics(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


@dataclass(frozen=True)
class EvalMetrics:
    """The measurements of a test pass.

    Args:
        losses: loss of each test batch, ``(R, batches)``.
        accuracy: accuracy over the whole pass, ``(R,)``.
    """

    losses: Tensor
    accuracy: Tensor


@dataclass(frozen=True)
class StepTrace:
    """The tensors of a training step, for diagnostics; nothing is copied.

    Args:
        before: the state before the step.
        after: the state after the step; a replica that the step froze has unchanged parameters.
        symbols: symbols of the batch, ``(R, B, T)``.
        labels: labels of the batch, ``(R, B)``.
        grads: the gradient before clipping, in rows ``(R, P)``.
        flow: ‖∂ℓ/∂h[t]‖ over the batch, for t = 1…T, ``(R, T)``, if requested.
    """

    before: FleetState
    after: FleetState
    symbols: Tensor
    labels: Tensor
    grads: Tensor
    flow: Tensor | None

    def take(self, rows: Tensor) -> "StepTrace":
        """Return the trace of some replicas.

        Args:
            rows: indices, or a mask ``(R,)``.
        """
        return StepTrace(
            before=self.before.take(rows),
            after=self.after.take(rows),
            symbols=self.symbols[rows],
            labels=self.labels[rows],
            grads=self.grads[rows],
            flow=None if self.flow is None else self.flow[rows],
        )
