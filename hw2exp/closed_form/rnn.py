"""Elman's RNN and its gradient.

Forward:   h[t] = φ(z[t]),  z[t] = W [x[t]; 1] + U h[t-1], with φ = tanh or ReLU.

Backward, with δ[t] = ∂ℓ/∂h[t] the total derivative:
    ∂ℓ/∂z[t] = φ'(z[t]) ⊙ δ[t],  δ[t-1] = Uᵀ ∂ℓ/∂z[t],
    ∂ℓ/∂W = Σ_t ∂ℓ/∂z[t] [x[t]; 1]ᵀ,  ∂ℓ/∂U = Σ_t ∂ℓ/∂z[t] h[t-1]ᵀ.
"""

from typing import Any

from hw2exp.closed_form.functions import tanh
from hw2exp.closed_form.lanes import load, maximum, positive, store
from hw2exp.closed_form.products import add_outer, add_product, product
from hw2exp.kernel import kernel


@kernel
def forward(x: Any, weights: Any, h: Any, relu: Any) -> None:
    """Compute all states.

    Args:
        x: inputs with a one below them, ``(R, N, T, I+1, 16)``.
        weights: W ``(R, H, I+1)`` and U ``(R, H, H)``.
        h: ``(R, N, T+1, H, 16)``; state t comes to place t + 1, zeros stand at place 0.
        relu: φ is ReLU, not tanh.
    """
    W, U = weights
    R, N, T, I, _ = x.shape
    H = U.shape[2]
    for r in range(R):
        for n in range(N):
            xs, hs = x[r, n], h[r, n]
            for t in range(T):
                after = (t + 1) * H
                product(W[r], xs, t * I, hs, after)
                add_product(U[r], hs, t * H, hs, after)
                for j in range(H):
                    z = load(hs, after + j)
                    store(hs, after + j, maximum(z, 0.0) if relu else tanh(z))


@kernel
def backward(
    x: Any, weights: Any, h: Any, relu: Any, delta: Any, gradients: Any, scratch: Any
) -> None:
    """Compute ∂ℓ/∂h[t] for all t, and the weights' gradients.

    Args:
        x: as in ``forward``.
        weights: as in ``forward``.
        h: from ``forward``.
        relu: φ is ReLU, not tanh.
        delta: ``(R, N, T+1, H, 16)``; the last place holds ∂ℓ/∂h[T], the others are filled.
        gradients: zeros, shaped as the weights.
        scratch: ∂ℓ/∂z ``(T, H, 16)``.
    """
    _, U = weights
    R, N, T = x.shape[:3]
    H = U.shape[2]
    (dz,) = scratch
    for r in range(R):
        U_T = U[r].T
        for n in range(N):
            xs, hs, dh = x[r, n], h[r, n], delta[r, n]
            for t in range(T - 1, -1, -1):
                before, now = t * H, (t + 1) * H
                for j in range(H):
                    state = load(hs, now + j)
                    slope = positive(state) if relu else 1.0 - state * state
                    store(dz, before + j, slope * load(dh, now + j))
                product(U_T, dz, before, dh, before)
            add_outer(dz, 0, xs, 0, T, gradients[0][r])
            add_outer(dz, 0, hs, 0, T, gradients[1][r])
