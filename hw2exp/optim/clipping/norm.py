"""Clipping by the norm of the whole gradient."""

from dataclasses import dataclass
from typing import Annotated

from hw2exp.config.doors import register_clip
from hw2exp.config.knob import per_replica
from hw2exp.models.axes import State
from hw2exp.optim.clipping.protocol import Clip, rescale
from hw2exp.system.lazy_torch import Tensor


@register_clip("norm")
@dataclass(frozen=True)
class ClipByNorm(Clip):
    """Clipping by the norm of the gradient (Pascanu, Mikolov & Bengio 2013, algorithm 1).

    Args:
        max_norm: the largest norm, ``(R,)``.
    """

    rows = True

    max_norm: Annotated[
        Tensor, per_replica("largest allowed norm of a replica's whole gradient", gt=0)
    ]

    def update(
        self, grads: Tensor, params: Tensor, grad_norm: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """Return g · min(1, max_norm / ‖g‖)."""
        return rescale(grads, grad_norm, self.max_norm), state
