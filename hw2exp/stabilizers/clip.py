"""Gradient clipping: by norm, by value, and by the norm's own history."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from hw2exp.axes import State, columns
from hw2exp.config.groups import Clip as ClipOptions
from hw2exp.hyperparameters import stack

EPS = 1e-6
"""Added to a norm before dividing by it, as torch's ``clip_grad_norm_`` does."""


class Clip(Protocol):
    """Limits gradients before the optimizer sees them."""

    def init(self, replicas: int, device: torch.device | str = "cpu") -> State:
        """Make the state before the first step."""

    def update(self, grads: Tensor, norm: Tensor, state: State) -> tuple[Tensor, State]:
        """Limit the gradients of a step.

        Args:
            grads: ``(R, P)``.
            norm: the norm of each row, ``(R,)`` in float64.
            state: from ``init`` or the step before.
        """


class NoClip:
    """Gradients stay as they are."""

    def init(self, replicas: int, device: torch.device | str = "cpu") -> State:
        """No state."""
        return {}

    def update(self, grads: Tensor, norm: Tensor, state: State) -> tuple[Tensor, State]:
        """Change nothing."""
        return grads, state


@dataclass(frozen=True)
class ClipByNorm(NoClip):
    """Rescale a gradient whose norm is too large (Pascanu, Mikolov & Bengio 2013, algorithm 1).

    Args:
        max_norm: the largest norm, ``(R,)``.
    """

    max_norm: Tensor

    def update(self, grads: Tensor, norm: Tensor, state: State) -> tuple[Tensor, State]:
        """g = g · min(1, max_norm / ‖g‖)."""
        return rescale(grads, norm, self.max_norm), state


@dataclass(frozen=True)
class ClipByValue(NoClip):
    """Limit every entry of the gradient by itself (Mikolov 2012, §3.2.2).

    Args:
        max_value: the largest absolute value, ``(R,)``.
    """

    max_value: Tensor

    def update(self, grads: Tensor, norm: Tensor, state: State) -> tuple[Tensor, State]:
        """g = min(max(g, -max_value), max_value)."""
        limit = columns(self.max_value, grads)  # (R, 1)
        return grads.clamp(-limit, limit), state


@dataclass(frozen=True)
class ZClip:
    """Rescale a gradient whose norm is an outlier among the norms before it.

    A running mean and variance of the norm follow the training; a norm whose z-score is above
    the threshold z* is brought to mean + z*²/z deviations, the lower the farther out it was.

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
        """Nothing was seen."""
        zero = torch.zeros(replicas, dtype=torch.float64, device=device)
        return {"steps": zero, "mean": zero, "variance": zero}

    def update(self, grads: Tensor, norm: Tensor, state: State) -> tuple[Tensor, State]:
        """Clip by what was seen, then take note of what is left."""
        steps, mean, variance = state["steps"] + 1, state["mean"], state["variance"]  # (R,)
        warm = steps > self.warmup_steps
        deviation = variance.sqrt()
        z = (norm - mean) / (deviation + EPS)
        limit = mean + self.z_threshold**2 / z * deviation
        limit = torch.where(warm & (z > self.z_threshold), limit, torch.inf)
        seen = torch.minimum(norm, limit)
        # During the warm-up: the plain mean and population variance of all norms (Welford).
        weight = torch.where(warm, 1 - self.alpha, 1 / steps)
        new_mean = mean + weight * (seen - mean)
        spread = torch.where(warm, seen - new_mean, seen - mean) * (seen - new_mean)
        new_variance = variance + weight * (spread - variance)
        after = {"steps": steps, "mean": new_mean, "variance": new_variance}
        return rescale(grads, norm, limit), after


def rescale(grads: Tensor, norm: Tensor, limit: Tensor) -> Tensor:
    """Scale rows down to a norm, and never up.

    Args:
        grads: ``(R, P)``.
        norm: the norm of each row, ``(R,)`` in float64.
        limit: the largest norm, ``(R,)``.
    """
    # In float64, rounded once: the factor for a gradient of 1e38 is too small for float32.
    factor = (limit / (norm + EPS)).clamp(max=1)  # (R,)
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
        device: where its tensors go.
    """
    clip: Clip = CLIPS[options[0].name](**stack(options, device))
    return clip
