"""Gradient clipping: by norm, by value, and by the norm's own history."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from hw2exp.config.groups import Clip as ClipOptions
from hw2exp.models.axes import State, columns
from hw2exp.models.hyperparameters import stack

EPS = 1e-6
"""Added to a norm before dividing by it, as torch's ``clip_grad_norm_`` does."""


class Clip(Protocol):
    """A rule that limits gradients before the optimizer uses them."""

    def init(self, replicas: int, device: torch.device | str = "cpu") -> State:
        """Return the state before the first step."""

    def update(self, grads: Tensor, grad_norm: Tensor, state: State) -> tuple[Tensor, State]:
        """Limit the gradients of a step.

        Args:
            grads: gradients, ``(R, P)``.
            grad_norm: norm of each row, ``(R,)`` in float64.
            state: state from ``init`` or the step before.
        """


class NoClip:
    """No clipping."""

    def init(self, replicas: int, device: torch.device | str = "cpu") -> State:
        """Return an empty state."""
        return {}

    def update(self, grads: Tensor, grad_norm: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the gradients unchanged."""
        return grads, state


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


@dataclass(frozen=True)
class ZClip:
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

    alpha: Tensor
    z_threshold: Tensor
    warmup_steps: Tensor

    def init(self, replicas: int, device: torch.device | str = "cpu") -> State:
        """Return zero counts and statistics."""
        zero = torch.zeros(replicas, dtype=torch.float64, device=device)
        return {"steps": zero, "mean": zero, "variance": zero}

    def update(self, grads: Tensor, grad_norm: Tensor, state: State) -> tuple[Tensor, State]:
        """Clip by the previous norms, then add the clipped norm to the statistics."""
        steps, mean, variance = state["steps"] + 1, state["mean"], state["variance"]  # (R,)
        warm = steps > self.warmup_steps
        deviation = variance.sqrt()
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


CLIPS: dict[str, type[Any]] = {
    "none": NoClip,
    "norm": ClipByNorm,
    "value": ClipByValue,
    "zclip": ZClip,
}


def build(options: Sequence[ClipOptions], device: torch.device | str = "cpu") -> Clip:
    """Make the clipping of a fleet.

    Args:
        options: the ``clip`` section of each replica, length R.
        device: the device of the tensors.
    """
    clip: Clip = CLIPS[options[0].name](**stack(options, device))
    return clip
