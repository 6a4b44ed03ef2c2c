"""Clipping of each entry of the gradient."""

from dataclasses import dataclass
from typing import Annotated

from hw2exp.config.doors import register_clip
from hw2exp.config.knob import per_replica
from hw2exp.models.axes import State, columns
from hw2exp.optim.clipping.protocol import Clip
from hw2exp.system.lazy_torch import Tensor


@register_clip("value")
@dataclass(frozen=True)
class ClipByValue(Clip):
    """Clipping of every entry of the gradient by itself (Mikolov 2012).

    Args:
        max_value: the largest absolute value, ``(R,)``.
    """

    rows = True

    max_value: Annotated[
        Tensor, per_replica("largest allowed size of one entry of the gradient", gt=0)
    ]

    def update(
        self, grads: Tensor, params: Tensor, grad_norm: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """Return min(max(g, -max_value), max_value)."""
        limit = columns(self.max_value, grads)  # (R, 1)
        return grads.clamp(-limit, limit), state
