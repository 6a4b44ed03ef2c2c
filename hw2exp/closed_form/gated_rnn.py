"""The gated RNN and its gradient (write-up, part 1.2.1).

Forward:   c[t] = σ(W_c x[t] + W_h h[t-1]),  h[t] = c[t] ⊙ h[t-1] + (1 - c[t]) ⊙ W_x x[t].

Backward, with δ[t] = ∂ℓ/∂h[t] the total derivative and d[t] = h[t-1] - W_x x[t]:
    ∂ℓ/∂z[t] = δ[t] ⊙ d[t] ⊙ c[t] ⊙ (1 - c[t]), where z is the gate's argument,
    δ[t-1]   = c[t] ⊙ δ[t] + W_hᵀ ∂ℓ/∂z[t],
    ∂ℓ/∂W_x  = Σ_t ((1 - c[t]) ⊙ δ[t]) x[t]ᵀ,
    ∂ℓ/∂W_c  = Σ_t ∂ℓ/∂z[t] x[t]ᵀ,  ∂ℓ/∂W_h = Σ_t ∂ℓ/∂z[t] h[t-1]ᵀ.
"""

from typing import Any

from hw2exp.closed_form.functions import sigmoid
from hw2exp.closed_form.lanes import load, store
from hw2exp.closed_form.products import add_outer, add_product, product
from hw2exp.kernel import kernel


@kernel
def forward(x: Any, weights: Any, h: Any, kept: Any) -> None:
    """Compute all states.

    Args:
        x: inputs, ``(R, N, T, I, 16)``.
        weights: W_x, W_c, W_h.
        h: ``(R, N, T+1, H, 16)``; state t comes to place t + 1, zeros stand at place 0.
        kept: c and d for the way back, each ``(R, N, T, H, 16)``.
    """
    W_x, W_c, W_h = weights
    R, N, T, I, _ = x.shape
    H = W_h.shape[1]
    for r in range(R):
        for n in range(N):
            xs, hs, c, d = x[r, n], h[r, n], kept[0][r, n], kept[1][r, n]
            for t in range(T):
                now, after = t * H, (t + 1) * H
                product(W_x[r], xs, t * I, d, now)
                product(W_c[r], xs, t * I, c, now)
                add_product(W_h[r], hs, now, c, now)
                for j in range(H):
                    gate, u = sigmoid(load(c, now + j)), load(d, now + j)
                    difference = load(hs, now + j) - u
                    store(c, now + j, gate)
                    store(d, now + j, difference)
                    store(hs, after + j, u + gate * difference)


@kernel
def backward(
    x: Any, weights: Any, h: Any, kept: Any, delta: Any, gradients: Any, scratch: Any
) -> None:
    """Compute ∂ℓ/∂h[t] for all t, and the weights' gradients.

    Args:
        x: inputs, ``(R, N, T, I, 16)``.
        weights: W_x, W_c, W_h.
        h: from ``forward``.
        kept: from ``forward``.
        delta: ``(R, N, T+1, H, 16)``; the last place holds ∂ℓ/∂h[T], the others are filled.
        gradients: zeros, shaped as the weights.
        scratch: two arrays ``(T, H, 16)``.
    """
    W_h = weights[2]
    R, N, T = x.shape[:3]
    H = W_h.shape[1]
    dz, du = scratch
    for r in range(R):
        W_hT = W_h[r].T
        for n in range(N):
            xs, hs, c, d, dh = x[r, n], h[r, n], kept[0][r, n], kept[1][r, n], delta[r, n]
            for t in range(T - 1, -1, -1):
                before, now = t * H, (t + 1) * H
                for j in range(H):
                    gate, out = load(c, before + j), load(dh, now + j)
                    rest = out * (1.0 - gate)
                    store(du, before + j, rest)
                    store(dz, before + j, rest * gate * load(d, before + j))
                    store(dh, before + j, out * gate)
                add_product(W_hT, dz, before, dh, before)
            add_outer(du, 0, xs, 0, T, gradients[0][r])
            add_outer(dz, 0, xs, 0, T, gradients[1][r])
            add_outer(dz, 0, hs, 0, T, gradients[2][r])
