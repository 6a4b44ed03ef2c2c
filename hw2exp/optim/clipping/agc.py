"""Clipping of each unit's gradient by the norm of its weights."""

from dataclasses import dataclass
from typing import Annotated

from hw2exp.config.doors import register_clip
from hw2exp.config.knob import per_replica, shared
from hw2exp.models.axes import Params, State, norms
from hw2exp.optim.clipping.protocol import Clip, scale_down
from hw2exp.system.lazy_torch import Tensor, torch


@register_clip("agc")
@dataclass(frozen=True)
class AGC(Clip):
    """Adaptive gradient clipping: a unit's gradient is small beside the unit's weights.

    A unit i with weights W_i and gradient G_i has G_i · min(1, λ max(‖W_i‖, ε) / ‖G_i‖). The units
    of a matrix ``(out, in)`` are its rows, the weights that lead to one output; a bias or another
    vector is one unit.

    Args:
        max_ratio: λ, ``(R,)``.
        eps: ε, as which smaller norms of weights count, ``(R,)``.
        readout: whether to limit the readout's gradient too; the paper leaves the last layer out.

    Source: Brock et al. 2021, "High-performance large-scale image recognition without
    normalization", arXiv:2102.06171, eq. 3.
    """

    max_ratio: Annotated[
        Tensor, per_replica("largest norm of a unit's gradient, over that of its weights", gt=0)
    ]
    eps: Annotated[Tensor, per_replica("norm that smaller weights count as", gt=0)]
    readout: Annotated[bool, shared("limit the gradient of the readout too")]

    def update(
        self, grads: Params, params: Params, grad_norm: Tensor, state: State
    ) -> tuple[Params, State]:
        """Return G_i · min(1, λ max(‖W_i‖, ε) / ‖G_i‖) for each unit i."""
        limited = {
            name: grads[name] if self._is_free(name) else self._limit(grads[name], value)
            for name, value in params.items()
        }
        return limited, state

    def _is_free(self, name: str) -> bool:
        return name.startswith("readout_") and not self.readout

    def _limit(self, grad: Tensor, param: Tensor) -> Tensor:
        weights, gradients = unit_norms(param), unit_norms(grad)  # (R, out), or (R,)
        replicas = (-1, *[1] * (weights.dim() - 1))
        eps, ratio = self.eps.reshape(replicas), self.max_ratio.reshape(replicas)
        return scale_down(grad, ratio * torch.maximum(weights, eps) / gradients)


def unit_norms(values: Tensor) -> Tensor:
    """Return the norm of each unit in float64: ``(R, out)`` of a matrix, ``(R,)`` of a vector.

    Args:
        values: weights or their gradient, ``(R, ..., in)``.
    """
    if values.dim() < 3:
        return norms(values.flatten(1))
    return norms(values.flatten(0, -2)).reshape(values.shape[:-1])
