"""Elman's RNN with normalized terms, and its gradient.

With n the standardization:

Forward:   h[t] = φ(z[t]),  z[t] = γ_x ⊙ n(W x[t]) + γ_h ⊙ n(U h[t-1]) + b.
Backward:  ∂ℓ/∂z[t] = φ'(z[t]) ⊙ δ[t], which propagates through n to each product; then, as without
           norm, δ[t-1] = Uᵀ ∂ℓ/∂(U h[t-1]).
"""

from typing import Any

from hw2exp.kernels.forms import NORMED, ClosedForm
from hw2exp.kernels.functions import tanh
from hw2exp.kernels.lanes import load, maximum, positive, store
from hw2exp.kernels.normed.packing import pack_terms, unpack_terms
from hw2exp.kernels.normed.standardize import add_totals, gain_back
from hw2exp.kernels.products import add_outer, product

normalize: Any = None  # bound to the norm's kernels in each copy
normalize_back: Any = None
RELU: Any = False


def forward(
    x: Any, weights: Any, r: Any, h: Any, kept: Any, statistics: Any, eps: Any, mask: Any,
    count: Any,
) -> None:  # fmt: skip
    """Compute the states of all groups of 16 sequences of a replica; see :class:`ClosedForm`.

    ``weights``: W ``(R, H, I)``, U ``(R, H, H)``, b, γ_x and γ_h ``(R, 1, H)``.
    ``kept``: standardized values and inverse deviations of both products, ``(T G, H, 16)``.
    """
    W, U, b, gamma_x, gamma_h = (
        weights[0][r], weights[1][r], weights[2][r, 0], weights[3][r, 0], weights[4][r, 0],
    )  # fmt: skip
    G, I, H = len(mask), x.shape[1], len(U)
    s_x, inverse_x, s_h, inverse_h = kept
    for t in range(len(x) // G):
        for n in range(t * G, (t + 1) * G):
            product(W, x, n * I, s_x, n * H)
            product(U, h, n * H, s_h, n * H)
        normalize(s_x, inverse_x, statistics[0][r], statistics[1][r], t, H, H, H, eps, mask, count)
        normalize(s_h, inverse_h, statistics[2][r], statistics[3][r], t, H, H, H, eps, mask, count)
        for n in range(t * G, (t + 1) * G):
            for j in range(H):
                z = load(s_x, n * H + j) * gamma_x[j] + load(s_h, n * H + j) * gamma_h[j] + b[j]
                store(h, (n + G) * H + j, maximum(z, 0.0) if RELU else tanh(z))


def backward(
    x: Any, weights: Any, r: Any, h: Any, kept: Any, delta: Any, gradients: Any, scratch: Any,
    mask: Any, count: Any,
) -> None:  # fmt: skip
    """Compute ∂ℓ/∂h[t] for all t, and add to the weights' gradients; see :class:`ClosedForm`.

    ``scratch``: gradients of both products ``(T G, H, 16)``; sums of the gradients of b, γ_x, γ_h
    ``(H, 16)``.
    """
    gamma_x, gamma_h, U_T = weights[3][r, 0], weights[4][r, 0], weights[1][r].T
    G, H = len(mask), len(U_T)
    s_x, inverse_x, s_h, inverse_h = kept
    d_x, d_h, of_b, of_gamma_x, of_gamma_h = scratch
    of_b[:], of_gamma_x[:], of_gamma_h[:] = 0.0, 0.0, 0.0
    T = len(x) // G
    for t in range(T - 1, -1, -1):
        for n in range(t * G, (t + 1) * G):
            for j in range(H):
                state = load(h, (n + G) * H + j)
                slope = positive(state) if RELU else 1.0 - state * state
                out = slope * load(delta, (n + G) * H + j)
                store(of_b, j, load(of_b, j) + out)
                store(d_x, n * H + j, out)
                store(d_h, n * H + j, out)
        gain_back(d_x, s_x, gamma_x, of_gamma_x, t, H, G)
        normalize_back(d_x, s_x, inverse_x, t, H, H, H, mask, count)
        gain_back(d_h, s_h, gamma_h, of_gamma_h, t, H, G)
        normalize_back(d_h, s_h, inverse_h, t, H, H, H, mask, count)
        for n in range(t * G, (t + 1) * G):
            product(U_T, d_h, n * H, delta, n * H)
    add_outer(d_x, 0, x, 0, T * G, gradients[0][r])
    add_outer(d_h, 0, h, 0, T * G, gradients[1][r])
    add_totals(of_b, gradients[2][r, 0])
    add_totals(of_gamma_x, gradients[3][r, 0])
    add_totals(of_gamma_h, gradients[4][r, 0])


for name, relu in (("rnn", False), ("rnn_relu", True)):
    NORMED[name] = ClosedForm(
        forward,
        backward,
        pack_terms,
        unpack_terms,
        weights=lambda N, G, I, H, K: [(H, I), (H, H)] + [(1, H)] * 3,
        kept=lambda N, G, I, H, K: [(N, H)] * 4,
        scratch=lambda N, G, I, H, K: [(N, H)] * 2 + [(H,)] * 3,
        terms=("weight_ih", "weight_hh"),
        constants=(("RELU", relu),),
    )
