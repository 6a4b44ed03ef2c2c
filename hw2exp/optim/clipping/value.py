"""Clipping of each entry of the gradient."""

from dataclasses import dataclass

from hw2exp.config import groups
from hw2exp.config.knob import per_replica
from hw2exp.config.registry import register
from hw2exp.models.axes import State, columns
from hw2exp.optim.clipping.protocol import NoClip
from hw2exp.system.lazy_torch import Tensor


class ClipByValueKnobs(groups.Clip):
    """The knobs of clipping by value."""

    max_value: float = per_replica("largest allowed size of one entry of the gradient", gt=0)


@register("clip", "value", ClipByValueKnobs)
@dataclass(frozen=True)
class ClipByValue(NoClip):
    """Clipping of every entry of the gradient by itself (Mikolov 2012, §3.2.2).

    Args:
        max_value: the largest absolute value, ``(R,)``.
    """

    max_value: Tensor

    def update(self, grads: Tensor, grad_norm: Tensor, state: State) -> tuple[Tensor, State]:
        """Return min(max(g, -max_value), max_value)."""
        limit = columns(self.max_value, grads)  # (R, 1)
        return grads.clamp(-limit, limit), state
