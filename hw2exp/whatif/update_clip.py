"""Clip an optimizer's updates by their root mean square, as StableAdamW does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.fleet import Fleet
from hw2exp.models.axes import State, means, roots
from hw2exp.optim.optimizers.formulas import with_decay


@dataclass(frozen=True)
class UpdateClip:
    """An optimizer with update clipping (Wortsman et al. 2023, arXiv:2304.13013, algorithm 2).

    The step of each tensor of parameters is divided by max(1, RMS / limit), where
    RMS = √mean(g² / (√ŝ + ε)²) compares its gradient with its second moments.

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
        ratios = self.fleet.layout.unflatten(g / self.inner.preconditioner(after))
        scales = [1 / self._excess(ratio).expand_as(ratio) for ratio in ratios.values()]
        scale = self.fleet.layout.flatten(scales)  # (R, P)
        return torch.where(scale == 1, moved, params + (moved - params) * scale), after

    def _excess(self, ratio: Tensor) -> Tensor:
        """Return max(1, RMS / limit) of a tensor, ``(R, 1, …)``."""
        rms = roots(means((ratio * ratio).flatten(1)))  # (R,)
        return (rms / self.limit).clamp(min=1).view(-1, *[1] * (ratio.dim() - 1))


class ClippedUpdates(Fleet):
    """A fleet whose updates are clipped; it trains by plain steps.

    Args:
        configs: one config a replica.
        limit: the largest root mean square of an update.
        skipped: training batches left out.
    """

    def __init__(self, configs: Sequence[TrainConfig], limit: float, skipped: int = 0) -> None:
        self.limit = limit
        super().__init__(configs, compiled=False, skipped=skipped)

    def enlist(self, configs: Sequence[TrainConfig]) -> None:
        """Build everything that depends on the configs; the state stays."""
        super().enlist(configs)
        clipped: Any = UpdateClip(self.optimizer, self, self.limit)  # has what training needs
        self.optimizer = clipped
