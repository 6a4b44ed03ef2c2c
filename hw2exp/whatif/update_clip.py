"""Clip an optimizer's updates by their root mean square, as StableAdamW does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.fleet import Fleet
from hw2exp.models.axes import State
from hw2exp.optim.optimizers.formulas import with_decay
from hw2exp.optim.optimizers.stable_adamw import limit_steps


@dataclass(frozen=True)
class UpdateClip:
    """An optimizer with update clipping (Wortsman et al. 2023, arXiv:2304.13013, algorithm 2).

    It uses :func:`hw2exp.optim.optimizers.stable_adamw.limit_steps` for any optimizer that divides
    gradients by a preconditioner, such as √ŝ + ε, and does nothing else to them.

    Args:
        inner: the optimizer, with a preconditioner.
        fleet: the fleet, for the layout of its parameters.
        limit: the largest root mean square, 1 in the paper.
    """

    inner: Any
    fleet: Fleet
    limit: float

    @property
    def lr(self) -> Tensor:
        """Return the learning rates, ``(R,)``."""
        lr: Tensor = self.inner.lr
        return lr

    def init(self, params: Tensor) -> State:
        """Return the optimizer's own first state."""
        state: State = self.inner.init(params)
        return state

    def update(
        self, params: Tensor, grads: Tensor, state: State, lr: Tensor
    ) -> tuple[Tensor, State]:
        """Update the parameters, see the optimizer's own method."""
        moved, after = self.inner.update(params, grads, state, lr)
        g = with_decay(grads, params, self.inner.l2)  # (R, P)
        ratios = g / self.inner.preconditioner(after)
        return limit_steps(params, moved, ratios, self.limit, self.fleet.layout), after


class ClippedUpdates(Fleet):
    """A fleet whose updates are clipped; it trains by plain steps.

    Args:
        configs: the config of each replica.
        limit: the largest root mean square of an update.
        skipped: the number of training batches left out.
    """

    def __init__(self, configs: Sequence[TrainConfig], limit: float, skipped: int = 0) -> None:
        self.limit = limit
        super().__init__(configs, compiled=False, skipped=skipped)

    def enlist(self, configs: Sequence[TrainConfig]) -> None:
        """Build everything that depends on the configs; keep the state.

        Args:
            configs: the config of each replica that still trains.
        """
        super().enlist(configs)
        clipped: Any = UpdateClip(self.optimizer, self, self.limit)  # has what training needs
        self.optimizer = clipped
