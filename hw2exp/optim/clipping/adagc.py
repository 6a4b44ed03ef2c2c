"""Clipping of each tensor's gradient by the history of its own norm."""

from dataclasses import dataclass
from typing import Annotated

from hw2exp.config.doors import register_clip
from hw2exp.config.knob import per_replica
from hw2exp.models.axes import Params, State, norms
from hw2exp.optim.clipping.protocol import Clip, scale_down
from hw2exp.system.lazy_torch import Tensor, torch


@register_clip("adagc")
@dataclass(frozen=True)
class AdaGC(Clip):
    """Clipping of each tensor relative to a running mean of its clipped norms.

    In the warm-up the whole gradient g is clipped, ĝ = g · min(1, λ_abs / ‖g‖), and γ_i becomes
    the smallest norm ‖ĝ_i‖ of tensor i. Then ĝ_i = g_i · min(1, λ_rel γ_i / ‖g_i‖) and
    γ_i = β γ_i + (1-β) ‖ĝ_i‖.

    The paper does not say what happens after a gradient of exactly zero, which would keep γ_i and
    the tensor's updates at zero for ever. Here it does not change γ_i in the warm-up, and a tensor
    without a γ_i is clipped as in the warm-up.

    Args:
        beta: decay of the running mean, β, ``(R,)``.
        max_ratio: λ_rel, ``(R,)``.
        warmup_norm: λ_abs, ``(R,)``.
        warmup_steps: steps of the warm-up, T_start - 1, ``(R,)``.

    Source: Wang et al. 2025, "AdaGC: improving training stability for large language model
    pretraining", arXiv:2502.11034, algorithm 1.
    """

    beta: Annotated[Tensor, per_replica("decay of the running mean of a tensor's norm", ge=0, lt=1)]
    max_ratio: Annotated[
        Tensor, per_replica("largest norm of a tensor's gradient, over that mean", gt=0)
    ]
    warmup_norm: Annotated[
        Tensor, per_replica("largest norm of the whole gradient during the warm-up", gt=0)
    ]
    warmup_steps: Annotated[
        Tensor, per_replica("steps in which the whole gradient is clipped", int, ge=1)
    ]

    def init(self, params: Params) -> State:
        """Return a zero count of steps, and a zero for each tensor, whose norm is not known yet."""
        first = next(iter(params.values()))
        count = torch.zeros(len(first), dtype=torch.float64, device=first.device)
        return {"steps": count, "norms": count[:, None].repeat(1, len(params))}

    def update(
        self, grads: Params, params: Params, grad_norm: Tensor, state: State
    ) -> tuple[Params, State]:
        """Clip by γ, then bring γ up to date."""
        steps, gamma = state["steps"] + 1, state["norms"]  # (R,), (R, tensors)
        warm = (steps <= self.warmup_steps)[:, None]  # (R, 1)
        known = gamma > 0
        raw = torch.stack([norms(g.flatten(1)) for g in grads.values()], 1)  # (R, tensors)
        relative = self.max_ratio[:, None] * gamma / raw
        factor = torch.where(known & ~warm, relative, (self.warmup_norm / grad_norm)[:, None])
        seen = raw * factor.clamp(max=1)
        both = known & (seen > 0)
        smallest = torch.where(both, torch.minimum(gamma, seen), torch.maximum(gamma, seen))
        beta = self.beta[:, None]
        mean = beta * gamma + (1 - beta) * seen
        after = torch.where(known & ~warm, mean, smallest)
        clipped = {
            name: scale_down(g, factor[:, place]) for place, (name, g) in enumerate(grads.items())
        }
        return clipped, {"steps": steps, "norms": after}
