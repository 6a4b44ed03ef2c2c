"""Compute one step of the gated RNN and its derivatives in closed form (write-up, part 1.2.1).

c[t] = σ(W_c x[t] + W_h h[t-1]),  h[t] = c[t] ⊙ h[t-1] + (1 - c[t]) ⊙ W_x x[t].

All functions take one sequence: x is ``(I,)``; h and the total derivative δ = ∂ℓ/∂h[t] are
``(H,)``; W_x and W_c are ``(H, I)``, and W_h is ``(H, H)``. The derivation is that of the compiled
pass in ``kernels``; a test checks that these steps add up to its gradients through time.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hw2exp.models.axes import Params


@dataclass(frozen=True)
class Step:
    """The intermediate values of a step.

    Args:
        x: the input, ``(I,)``.
        before: h[t-1], ``(H,)``.
        candidate: W_x x[t], ``(H,)``.
        gate: c[t], ``(H,)``.
        after: h[t], ``(H,)``.
    """

    x: Tensor
    before: Tensor
    candidate: Tensor
    gate: Tensor
    after: Tensor


def step(params: Params, x: Tensor, h: Tensor) -> Step:
    """Compute one step by the two equations, from x[t] and h[t-1]."""
    candidate = params["W_x"] @ x  # (H,)
    c = torch.sigmoid(params["W_c"] @ x + params["W_h"] @ h)  # (H,)
    return Step(x, h, candidate, c, c * h + (1 - c) * candidate)


def state_jacobian(params: Params, now: Step) -> Tensor:
    """Return ∂h[t]/∂h[t-1] = diag(c) + diag((h[t-1] - W_x x[t]) ⊙ c ⊙ (1 - c)) W_h.

    Returns:
        ``(H, H)``.
    """
    c = now.gate
    through_gate = (now.before - now.candidate) * c * (1 - c)  # (H,)
    return torch.diag(c) + through_gate[:, None] * params["W_h"]


def backward(params: Params, now: Step, delta: Tensor) -> tuple[Params, Tensor]:
    """Return one step's part of every gradient, from the total derivative δ of its state.

    With z the argument of the gate's σ: ∂ℓ/∂z = δ ⊙ (h[t-1] - W_x x) ⊙ c ⊙ (1 - c),
    ∂ℓ/∂W_x = ((1 - c) ⊙ δ) xᵀ, ∂ℓ/∂W_c = ∂ℓ/∂z xᵀ, ∂ℓ/∂W_h = ∂ℓ/∂z h[t-1]ᵀ,
    ∂ℓ/∂x = W_xᵀ ((1 - c) ⊙ δ) + W_cᵀ ∂ℓ/∂z.

    Returns:
        The gradients of the three matrices, and that of the input ``(I,)``.
    """
    c = now.gate
    du = (1 - c) * delta  # (H,)
    dz = delta * (now.before - now.candidate) * c * (1 - c)  # (H,)
    of_weights = {
        "W_x": torch.outer(du, now.x),
        "W_c": torch.outer(dz, now.x),
        "W_h": torch.outer(dz, now.before),
    }
    return of_weights, params["W_x"].T @ du + params["W_c"].T @ dz


def backward_through_time(
    params: Params, steps: list[Step], delta: Tensor
) -> tuple[Params, list[Tensor]]:
    """Sum every step's part of the gradients, for a loss that reads the last state only.

    The total derivatives are δ[t-1] = (∂h[t]/∂h[t-1])ᵀ δ[t].

    Args:
        params: the matrices.
        steps: the steps that computed h[1] … h[T].
        delta: δ[T], ``(H,)``.

    Returns:
        The gradients of the three matrices, and of x[1] … x[T].
    """
    total = {name: torch.zeros_like(params[name]) for name in ("W_x", "W_c", "W_h")}
    of_inputs = []
    for now in reversed(steps):
        of_weights, of_x = backward(params, now, delta)
        total = {name: total[name] + of_weights[name] for name in total}
        of_inputs.append(of_x)
        delta = state_jacobian(params, now).T @ delta
    return total, of_inputs[::-1]
