"""What the optimizers share."""

import torch
from torch import Tensor

from hw2exp.axes import columns


def bias_correction(beta: Tensor, updates: Tensor) -> Tensor:
    """The share 1 - βᵗ of a running mean that is not its start at zero.

    Args:
        beta: decay of the mean, ``(R,)``.
        updates: t, ``(R,)``.

    Source: Kingma & Ba 2015, §3.
    """
    # Not beta**t: the last bit of torch's pow depends on how many replicas stand beside.
    return -torch.expm1(updates * beta.log())


def heavy_ball_limit(momentum: Tensor, lr: Tensor) -> Tensor:
    """The curvature λ above which v = μ v + λ θ;  θ = θ - lr v diverges, ``(R,)``.

    θ[t+1] = (1 + μ - lr λ) θ[t] - μ θ[t-1] has the polynomial z² - (1 + μ - lr λ) z + μ, one of
    whose roots passes -1 where lr λ = 2 (1 + μ).

    Args:
        momentum: μ, ``(R,)``.
        lr: ``(R,)``.
    """
    return 2 * (1 + momentum) / lr


def with_decay(grads: Tensor, params: Tensor, weight_decay: Tensor) -> Tensor:
    """Add the gradient of the L2 penalty, where there is one.

    Args:
        grads: ``(R, P)``.
        params: ``(R, P)``.
        weight_decay: ``(R,)``.
    """
    # A replica without decay must not see its parameters here: 0 · ∞ would be NaN.
    return torch.where(
        columns(weight_decay, params) > 0, grads + columns(weight_decay, params) * params, grads
    )
