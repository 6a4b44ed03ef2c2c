"""Clipping by the history of the gradient's norm."""

from dataclasses import dataclass
from typing import Annotated

from hw2exp.config.doors import register_clip
from hw2exp.config.knob import per_replica
from hw2exp.models.axes import State, roots
from hw2exp.optim.clipping.eps import EPS
from hw2exp.optim.clipping.protocol import Clip, rescale
from hw2exp.system.lazy_torch import Tensor, torch


@register_clip("zclip")
@dataclass(frozen=True)
class ZClip(Clip):
    """Clipping of a gradient whose norm is an outlier among the previous norms.

    The clip tracks a running mean and variance of the norm. A norm with a z-score above the
    threshold z* is reduced to mean + z*²/z deviations: the larger z, the lower the result.

    Args:
        alpha: decay of the running mean and variance, ``(R,)``.
        z_threshold: z*, ``(R,)``.
        warmup_steps: steps that only start the mean and the variance, ``(R,)``.

    Source: Kumar et al. 2025, "ZClip: adaptive spike mitigation for LLM pre-training",
    arXiv:2504.02507, the "reciprocal" rule.
    """

    rows = True

    alpha: Annotated[
        Tensor, per_replica("decay of the running mean and variance of the norm", ge=0, lt=1)
    ]
    z_threshold: Annotated[Tensor, per_replica("z-score above which a norm is clipped", gt=0)]
    warmup_steps: Annotated[
        Tensor, per_replica("steps that are only measured, not clipped", int, ge=2)
    ]

    def init(self, params: Tensor) -> State:
        """Return zero counts and statistics."""
        zero = torch.zeros(len(params), dtype=torch.float64, device=params.device)
        return {"steps": zero, "mean": zero, "variance": zero}

    def update(
        self, grads: Tensor, params: Tensor, grad_norm: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """Clip by the previous norms, then add the clipped norm to the statistics."""
        steps, mean, variance = state["steps"] + 1, state["mean"], state["variance"]  # (R,)
        warm = steps > self.warmup_steps
        deviation = roots(variance)
        z = (grad_norm - mean) / (deviation + EPS)
        limit = mean + self.z_threshold**2 / z * deviation
        limit = torch.where(warm & (z > self.z_threshold), limit, torch.inf)
        seen = torch.minimum(grad_norm, limit)
        # During warm-up, plain mean and population variance of all norms (Welford).
        weight = torch.where(warm, 1 - self.alpha, 1 / steps)
        new_mean = mean + weight * (seen - mean)
        spread = torch.where(warm, seen - new_mean, seen - mean) * (seen - new_mean)
        new_variance = variance + weight * (spread - variance)
        after = {"steps": steps, "mean": new_mean, "variance": new_variance}
        return rescale(grads, grad_norm, limit), after
