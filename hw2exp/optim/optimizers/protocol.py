"""Define the interface of an optimizer."""

from dataclasses import dataclass
from typing import Any, ClassVar

from hw2exp.models.axes import State
from hw2exp.system.lazy_torch import Tensor


@dataclass(frozen=True)
class Optimizer:
    """An update of parameters by gradients; base class of the optimizers.

    An optimizer gets parameters and gradients by name, each ``(R, ...)``; with ``rows``, it gets
    them as one tensor ``(R, P)`` that joins them.

    Args:
        lr: the learning rate before the schedule's factor, ``(R,)``.
        weight_decay: the L2 penalty, or decoupled decay, ``(R,)``.
    """

    rows: ClassVar[bool] = False

    lr: Tensor
    weight_decay: Tensor

    @property
    def l2(self) -> Tensor:
        """Return the L2 penalty that adds to the loss's curvature, ``(R,)``: the weight decay."""
        return self.weight_decay

    def init(self, params: Any) -> State:
        """Return the state before the first update: tensors ``(R, ...)`` by any names.

        Args:
            params: the parameters, rows or by name.
        """
        return {}

    def update(self, params: Any, grads: Any, state: State, lr: Tensor) -> tuple[Any, State]:
        """Make one update.

        Args:
            params: the parameters, rows or by name.
            grads: the gradients, likewise.
            state: state from ``init`` or the update before.
            lr: the scheduled learning rate, ``(R,)`` in float64.

        Returns:
            The new parameters, rows or by name, and the new state.
        """
        raise NotImplementedError

    def preconditioner(self, state: State) -> Tensor | None:
        """Return the divisor of the gradient in the update that led to this state, ``(R, P)``.

        None if there is no such divisor: then the curvature that the optimizer sees is unknown.
        """
        return None

    def stability_limit(self, lr: Tensor) -> Tensor:
        """Return the curvature above which updates diverge on a quadratic loss, ``(R,)``.

        Args:
            lr: the scheduled learning rate, ``(R,)`` in float64.

        Returns:
            The limit in units of the preconditioner, which is held fixed (Cohen et al. 2022, §2).
        """
        return lr * float("nan")
