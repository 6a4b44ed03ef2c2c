"""Clipping by the norm of the whole gradient."""

from dataclasses import dataclass

from hw2exp.config import groups
from hw2exp.config.knob import per_replica
from hw2exp.config.registry import register
from hw2exp.models.axes import State
from hw2exp.optim.clipping.protocol import NoClip, rescale
from hw2exp.system.lazy_torch import Tensor


class ClipByNormKnobs(groups.Clip):
    """The knobs of clipping by norm."""

    max_norm: float = per_replica("largest allowed norm of a replica's whole gradient", gt=0)


@register("clip", "norm", ClipByNormKnobs)
@dataclass(frozen=True)
class ClipByNorm(NoClip):
    """Clipping by the norm of the gradient (Pascanu, Mikolov & Bengio 2013, algorithm 1).

    Args:
        max_norm: the largest norm, ``(R,)``.
    """

    max_norm: Tensor

    def update(self, grads: Tensor, grad_norm: Tensor, state: State) -> tuple[Tensor, State]:
        """Return g · min(1, max_norm / ‖g‖)."""
        return rescale(grads, grad_norm, self.max_norm), state
