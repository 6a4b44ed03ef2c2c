"""The interface of an optimizer."""

from typing import Protocol

from hw2exp.models.axes import State
from hw2exp.system.lazy_torch import Tensor


class Optimizer(Protocol):
    """An optimizer, which updates parameters from gradients."""

    @property
    def lr(self) -> Tensor:
        """Return the learning rate before the schedule's factor, ``(R,)``."""

    @property
    def l2(self) -> Tensor:
        """Return the L2 penalty that adds to the loss's curvature, ``(R,)``."""

    def init(self, params: Tensor) -> State:
        """Return the state before the first update, for parameters ``(R, P)``."""

    def update(
        self, params: Tensor, grads: Tensor, state: State, lr: Tensor
    ) -> tuple[Tensor, State]:
        """Make one update.

        Args:
            params: parameters, ``(R, P)``.
            grads: gradients, ``(R, P)``.
            state: state from ``init`` or the update before.
            lr: the scheduled learning rate, ``(R,)`` in float64.

        Returns:
            The new parameters and the new state.
        """

    def preconditioner(self, state: State) -> Tensor:
        """Return the divisor of the gradient in the update that led to this state, ``(R, P)``."""

    def stability_limit(self, lr: Tensor) -> Tensor:
        """Return the curvature above which updates diverge on a quadratic loss, ``(R,)``.

        Args:
            lr: the scheduled learning rate, ``(R,)`` in float64.

        Returns:
            The limit in units of the preconditioner, which is held fixed (Cohen et al. 2022, §2).
        """
