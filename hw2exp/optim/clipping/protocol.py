"""The interface of gradient clipping."""

from typing import Protocol

from hw2exp.config import groups
from hw2exp.config.registry import register
from hw2exp.models.axes import State
from hw2exp.system.lazy_torch import Device, Tensor

EPS = 1e-6
"""Added to a norm before dividing by it, as torch's ``clip_grad_norm_`` does."""


class Clip(Protocol):
    """A rule that limits gradients before the optimizer uses them."""

    def init(self, replicas: int, device: Device = "cpu") -> State:
        """Return the state before the first step."""

    def update(self, grads: Tensor, grad_norm: Tensor, state: State) -> tuple[Tensor, State]:
        """Limit the gradients of a step.

        Args:
            grads: gradients, ``(R, P)``.
            grad_norm: norm of each row, ``(R,)`` in float64.
            state: state from ``init`` or the step before.
        """


@register("clip", "none", groups.Clip)
class NoClip:
    """No clipping."""

    def init(self, replicas: int, device: Device = "cpu") -> State:
        """Return an empty state."""
        return {}

    def update(self, grads: Tensor, grad_norm: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the gradients unchanged."""
        return grads, state


def rescale(grads: Tensor, grad_norm: Tensor, limit: Tensor) -> Tensor:
    """Scale rows down to a norm, never up.

    Args:
        grads: gradients, ``(R, P)``.
        grad_norm: norm of each row, ``(R,)`` in float64.
        limit: the largest norm, ``(R,)``.
    """
    # In float64, rounded once, because the factor for a gradient of 1e38 underflows in float32.
    factor = (limit / (grad_norm + EPS)).clamp(max=1)  # (R,)
    return (grads * factor[:, None]).to(grads.dtype)
