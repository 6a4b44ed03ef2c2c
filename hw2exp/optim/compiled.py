"""Compiled clipping and optimizers, for the row of one replica.

The classes on tensors are the definitions; tests compare. Hyperparameters come in the parameters'
dtype, rounded once, as :func:`hw2exp.models.axes.columns` rounds them.
"""

import math
from typing import Any

from hw2exp.optim.clipping.eps import EPS
from hw2exp.system.elementary import power
from hw2exp.system.kernel_cache import kernel

SGD, RMSPROP, ADAM = range(3)
NO_CLIP, BY_NORM, BY_VALUE, Z_CLIP = range(4)

STATES, OPTIMIZER_KNOBS = 3, 5
"""Most tensors ``(R, P)`` in an optimizer's state, and most knobs."""
CLIP_STATES, CLIP_KNOBS = 3, 3
"""Most numbers in the state of a clipping for one replica, and most knobs."""


@kernel
def clip_row(rule: Any, g: Any, norm: Any, knobs: Any, seen: Any, after: Any, clipped: Any) -> None:
    """Clip the gradient of a replica.

    Args:
        rule: the clipping's number.
        g: gradient, ``(P,)``.
        norm: its norm in float64.
        knobs: the clipping's knobs in float64, in the order of their class.
        seen: the state of ZClip: count, mean and variance of the norms so far.
        after: output: that state after the step.
        clipped: output: the clipped gradient, ``(P,)``.
    """
    after[:] = seen
    limit = math.inf
    if rule == BY_NORM:
        limit = knobs[0]
    elif rule == Z_CLIP:
        limit = z_clip(norm, knobs, seen, after)
    factor = limit / (norm + EPS)
    if factor > 1.0:
        factor = 1.0
    bound = clipped.dtype.type(knobs[0])
    for i in range(len(g)):
        if rule == BY_VALUE:
            clipped[i] = bound if g[i] > bound else -bound if g[i] < -bound else g[i]
        elif rule == NO_CLIP:
            clipped[i] = g[i]
        else:
            clipped[i] = float(g[i]) * factor


@kernel
def z_clip(norm: Any, knobs: Any, seen: Any, after: Any) -> Any:
    """Return the norm's limit by ZClip, and update its statistics."""
    alpha, threshold, warmup = knobs
    steps, mean, variance = seen[0] + 1, seen[1], seen[2]
    warm = steps > warmup
    deviation = math.sqrt(variance)
    z = (norm - mean) / (deviation + EPS)
    limit = math.inf
    if warm and z > threshold:
        limit = mean + threshold**2 / z * deviation
    clipped = limit if norm > limit else norm
    weight = 1 - alpha if warm else 1 / steps
    new_mean = mean + weight * (clipped - mean)
    spread = ((clipped - new_mean) if warm else (clipped - mean)) * (clipped - new_mean)
    after[0], after[1], after[2] = steps, new_mean, variance + weight * (spread - variance)
    return limit


@kernel
def update_row(
    rule: Any, theta: Any, g: Any, lr: Any, knobs: Any, updates: Any, before: Any, after: Any
) -> None:
    """Update the parameters of a replica by an optimizer.

    Args:
        rule: the optimizer's number.
        theta: parameters, ``(P,)``.
        g: gradient, ``(P,)``; the gradient of the L2 penalty is added to it.
        lr: learning rate in float64.
        knobs: the optimizer's knobs in float64, without the learning rate, in the order of
            their class.
        updates: the number of updates with this one.
        before: the optimizer's state, ``(STATES, P)``.
        after: output: the parameters and the state after the update, ``(1 + STATES, P)``.
    """
    kind, decay = after.dtype.type, knobs[0]
    after[0] = theta
    if rule == ADAM and knobs[4] > 0:  # decoupled
        after[0] *= kind(1 - lr * decay)
    elif decay > 0:  # without decay the parameters must not enter: 0 · ∞ would be NaN
        for i in range(len(g)):
            g[i] += kind(decay) * theta[i]
    if rule == SGD:
        sgd(g, kind(lr), kind(knobs[1]), knobs[2] > 0, before, after)
    elif rule == RMSPROP:
        alpha, rest = kind(knobs[1]), kind(1 - knobs[1])
        eps, mu = kind(knobs[2]), kind(knobs[3])
        rmsprop(g, kind(lr), (alpha, rest), eps, mu, knobs[4] > 0, before, after)
    else:
        beta1, beta2 = knobs[1], knobs[2]
        rate = kind(lr / (1 - power(beta1, updates)))
        root = kind(math.sqrt(1 - power(beta2, updates)))
        betas = kind(beta1), kind(1 - beta1), kind(beta2), kind(1 - beta2)
        adam(g, rate, betas, root, kind(knobs[3]), before, after)


@kernel
def sgd(g: Any, lr: Any, mu: Any, nesterov: Any, before: Any, after: Any) -> None:
    """Set v = μ v + g;  θ = θ - lr v, or θ - lr (g + μ v) with Nesterov momentum."""
    for i in range(len(g)):
        v = mu * before[0, i] + g[i]
        after[0, i] -= lr * (g[i] + mu * v if nesterov else v)
        after[1, i] = v


@kernel
def rmsprop(
    g: Any, lr: Any, alphas: Any, eps: Any, mu: Any, centered: Any, before: Any, after: Any
) -> None:
    """Set s = α s + (1-α) g²;  v = μ v + g / (√s + ε);  θ = θ - lr v."""
    kind = after.dtype.type
    alpha, rest = alphas
    for i in range(len(g)):
        s = alpha * before[0, i] + rest * g[i] * g[i]
        spread = s
        if centered:
            m = alpha * before[2, i] + rest * g[i]
            spread = s - m * m
            after[3, i] = m
        v = mu * before[1, i] + g[i] / (kind(math.sqrt(spread)) + eps)
        after[0, i] -= lr * v
        after[1, i], after[2, i] = s, v


@kernel
def adam(g: Any, rate: Any, betas: Any, root: Any, eps: Any, before: Any, after: Any) -> None:
    """Set m = β₁ m + (1-β₁) g;  s = β₂ s + (1-β₂) g²;  θ = θ - lr m̂ / (√ŝ + ε)."""
    kind = after.dtype.type
    beta1, rest1, beta2, rest2 = betas
    for i in range(len(g)):
        m = beta1 * before[0, i] + rest1 * g[i]
        s = beta2 * before[1, i] + rest2 * g[i] * g[i]
        after[0, i] -= rate * m / (kind(math.sqrt(s)) / root + eps)
        after[1, i], after[2, i] = m, s


OPTIMIZERS = {
    "sgd": (SGD, ("velocity",)),
    "rmsprop": (RMSPROP, ("mean_square", "velocity", "mean")),
    "adam": (ADAM, ("mean", "mean_square")),
    "adamw": (ADAM, ("mean", "mean_square")),
}
"""The number of each optimizer, and the tensors ``(R, P)`` of its state."""

CLIPS = {"none": NO_CLIP, "norm": BY_NORM, "value": BY_VALUE, "zclip": Z_CLIP}
"""The number of each clipping."""
