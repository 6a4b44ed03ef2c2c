"""Define the results of a classifier's passes, and the protocol of a compiled pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from hw2exp.models.axes import Params, State, StateTrajectory
from hw2exp.models.cell import Cell, Unrolled
from hw2exp.models.normalization import NormPass


@dataclass(frozen=True)
class Gradient:
    """The results of a forward and backward pass.

    Args:
        loss: the mean loss, ``(R,)``.
        correct: whether each sequence is classified correctly, ``(R, B)``.
        of: gradient of the loss with respect to each parameter, by name, each ``(R, ...)``.
        path: the states and their gradients, if the model keeps them.
        flow: ‖∂ℓ/∂h[t]‖ over the batch, for t = 1…T, ``(R, T)`` in float64, if requested.
    """

    loss: Tensor
    correct: Tensor
    of: Params
    path: StateTrajectory | None
    flow: Tensor | None = None


@dataclass(frozen=True)
class Pass:
    """A forward pass, for a term of the loss.

    Args:
        cell: the recurrent cell.
        params: the parameters, each ``(R, ...)``.
        symbols: indices, ``(R, B, T)``.
        labels: class indices, ``(R, B)``.
        states: h[t] for t = 1…T, each ``(R, B, H)``.
        logits: the readout's logits, ``(R, B, C)``.
        prepared: the parameters as the cell's steps use them.
        unrolled: the inputs, carries and states of all steps.
        norm: the normalization.
    """

    cell: Cell
    params: Params
    symbols: Tensor
    labels: Tensor
    states: Sequence[Tensor]
    logits: Tensor
    prepared: Params
    unrolled: Unrolled
    norm: NormPass


Term = Callable[[Pass], Tensor]
"""A function that returns a differentiable term of the loss, ``(R,)``."""


class ClosedForm(Protocol):
    """A cell's loss and its gradient by compiled equations instead of autograd.

    Attributes:
        keeps_state_gradients: whether ``mean`` keeps h[t] and ∂ℓ/∂h[t].
        keeps_flow: whether ``mean`` keeps ‖∂ℓ/∂h[t]‖.
        states: h[t], t = 1…T, ``(R, B, T, H)``, of the last call of ``mean``, if kept.
        state_gradients: ∂ℓ/∂h[t], ``(R, B, T, H)``, if kept.
        flow: ‖∂ℓ/∂h[t]‖ over all sequences, ``(R, T)`` in float64, if kept.
    """

    keeps_state_gradients: bool
    keeps_flow: bool
    states: Tensor | None
    state_gradients: Tensor | None
    flow: Tensor | None

    def each(
        self, params: Params, symbols: Tensor, labels: Tensor, statistics: State | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Compute each sequence's loss, see :meth:`Classifier.losses`."""

    def mean(self, params: Params, symbols: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the differentiable mean loss, see :meth:`Classifier.mean_loss`."""
