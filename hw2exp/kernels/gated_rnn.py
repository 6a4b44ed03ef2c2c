"""The gated RNN and its gradient (write-up, part 1.2.1).

Forward:   c[t] = σ(W_c x[t] + W_h h[t-1]),  h[t] = c[t] ⊙ h[t-1] + (1 - c[t]) ⊙ W_x x[t].

Backward, with δ[t] = ∂ℓ/∂h[t] the total derivative and d[t] = h[t-1] - W_x x[t]:
    ∂ℓ/∂z[t] = δ[t] ⊙ d[t] ⊙ c[t] ⊙ (1 - c[t]), where z is the gate's argument,
    δ[t-1]   = c[t] ⊙ δ[t] + W_hᵀ ∂ℓ/∂z[t],
    ∂ℓ/∂W_x  = Σ_t ((1 - c[t]) ⊙ δ[t]) x[t]ᵀ,
    ∂ℓ/∂W_c  = Σ_t ∂ℓ/∂z[t] x[t]ᵀ,  ∂ℓ/∂W_h = Σ_t ∂ℓ/∂z[t] h[t-1]ᵀ.
"""

from typing import Any

from hw2exp.kernels.forms import FORMS, ClosedForm
from hw2exp.kernels.functions import sigmoid
from hw2exp.kernels.lanes import fma, load, store
from hw2exp.kernels.packing import pack_plain, unpack_plain
from hw2exp.kernels.products import add_outer, add_product, product
from hw2exp.system.kernel_cache import kernel


@kernel
def forward(x: Any, weights: Any, r: Any, h: Any, kept: Any) -> None:
    """Compute the states of 16 sequences of a replica; see :class:`ClosedForm`.

    ``weights``: W_x and W_c ``(R, H, I)``, W_h ``(R, H, H)``.
    ``kept``: c and d, each ``(T, H, 16)``.
    """
    W_x, W_c, W_h = weights[0][r], weights[1][r], weights[2][r]
    (T, I, _), H = x.shape, len(W_h)
    c, d = kept
    for t in range(T):
        now, after = t * H, (t + 1) * H
        product(W_x, x, t * I, d, now)
        product(W_c, x, t * I, c, now)
        add_product(W_h, h, now, c, now)
        for j in range(H):
            gate, u = sigmoid(load(c, now + j)), load(d, now + j)
            before = load(h, now + j)
            store(c, now + j, gate)
            store(d, now + j, before - u)
            # Not u + c (h - u), in which rounding would lose h beside a large u.
            store(h, after + j, fma(gate, before, (1.0 - gate) * u))


@kernel
def backward(
    x: Any,
    weights: Any,
    r: Any,
    h: Any,
    kept: Any,
    delta: Any,
    gradients: Any,
    scratch: Any,
) -> None:
    """Compute ∂ℓ/∂h[t] for all t, and add to the weights' gradients; see :class:`ClosedForm`.

    ``kept`` is overwritten.
    """
    W_hT = weights[2][r].T
    T, H = len(x), len(W_hT)
    c, d = kept
    dz, du = kept  # each overwrites an array that is no longer needed
    for t in range(T - 1, -1, -1):
        before, now = t * H, (t + 1) * H
        for j in range(H):
            gate, out = load(c, before + j), load(delta, now + j)
            rest = out * (1.0 - gate)
            store(dz, before + j, rest * gate * load(d, before + j))
            store(du, before + j, rest)
            store(delta, before + j, out * gate)
        add_product(W_hT, dz, before, delta, before)
    add_outer(du, 0, x, 0, T, gradients[0][r])
    add_outer(dz, 0, x, 0, T, gradients[1][r])
    add_outer(dz, 0, h, 0, T, gradients[2][r])


FORMS["gated_rnn"] = ClosedForm(
    forward,
    backward,
    pack_plain,
    unpack_plain,
    weights=lambda N, G, I, H, K: [(H, I), (H, I), (H, H)],
    kept=lambda N, G, I, H, K: [(N, H), (N, H)],
    scratch=lambda N, G, I, H, K: [(1, 1)],
)
