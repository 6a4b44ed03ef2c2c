"""What every optimizer is."""

from typing import Protocol

from torch import Tensor

from hw2exp.axes import State


class Optimizer(Protocol):
    """Turns gradients into new parameters."""

    @property
    def lr(self) -> Tensor:
        """Learning rate before the schedule's factor, ``(R,)``."""

    @property
    def l2(self) -> Tensor:
        """The L2 penalty that adds to the loss's curvature, ``(R,)``."""

    def init(self, params: Tensor) -> State:
        """Make the state before the first update, for parameters ``(R, P)``."""

    def update(
        self, params: Tensor, grads: Tensor, state: State, lr: Tensor
    ) -> tuple[Tensor, State]:
        """Make one update.

        Args:
            params: ``(R, P)``.
            grads: ``(R, P)``.
            state: from ``init`` or the update before.
            lr: the scheduled learning rate, ``(R,)`` in float64.

        Returns:
            The new parameters and the new state.
        """

    def preconditioner(self, state: State) -> Tensor:
        """What the update that made this state divided the gradient by, ``(R, P)``."""

    def stability_limit(self, lr: Tensor) -> Tensor:
        """The curvature above which updates diverge on a quadratic loss, ``(R,)``.

        Args:
            lr: the scheduled learning rate, ``(R,)`` in float64.

        Returns:
            In units of the preconditioner, which is held fixed (Cohen et al. 2022, §2).
        """
