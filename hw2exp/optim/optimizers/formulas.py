"""Formulas shared by the optimizers."""

from hw2exp.models.axes import columns
from hw2exp.optim.elementwise import power
from hw2exp.system.lazy_torch import Tensor, torch


def bias_correction(beta: Tensor, updates: Tensor) -> Tensor:
    """Return 1 - βᵗ, the factor by which the start at zero biases a running mean.

    Args:
        beta: decay of the mean, ``(R,)``.
        updates: number of updates t, ``(R,)``.

    Source: Kingma & Ba 2015, §3.
    """
    return 1 - power(beta, updates)


def heavy_ball_limit(momentum: Tensor, lr: Tensor) -> Tensor:
    """Return the curvature λ above which v = μ v + λ θ;  θ = θ - lr v diverges, ``(R,)``.

    θ[t+1] = (1 + μ - lr λ) θ[t] - μ θ[t-1] has the characteristic polynomial
    z² - (1 + μ - lr λ) z + μ. One of its roots passes -1 at lr λ = 2 (1 + μ).

    Args:
        momentum: μ, ``(R,)``.
        lr: learning rate, ``(R,)``.
    """
    return 2 * (1 + momentum) / lr


def with_decay(grads: Tensor, params: Tensor, weight_decay: Tensor) -> Tensor:
    """Add the gradient of the L2 penalty, for replicas that have one.

    Args:
        grads: gradients, ``(R, P)``.
        params: parameters, ``(R, P)``.
        weight_decay: L2 penalty, ``(R,)``.
    """
    # Without decay the parameters must not enter: 0 · ∞ would be NaN.
    return torch.where(
        columns(weight_decay, params) > 0, grads + columns(weight_decay, params) * params, grads
    )
