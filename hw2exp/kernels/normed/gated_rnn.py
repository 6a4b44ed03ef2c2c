"""The gated RNN with normalized terms, and its gradient.

Forward:   c[t] = σ(γ_c ⊙ n(W_c x[t]) + γ_h ⊙ n(W_h h[t-1])),  u[t] = γ_x ⊙ n(W_x x[t]),
           h[t] = c[t] ⊙ h[t-1] + (1 - c[t]) ⊙ u[t], with n the standardization.
Backward:  ∂ℓ/∂u[t] = (1 - c[t]) ⊙ δ[t], with z the gate's argument
           ∂ℓ/∂z[t] = δ[t] ⊙ (h[t-1] - u[t]) ⊙ c[t] ⊙ (1 - c[t]), which propagate through n to each
           product;  δ[t-1] = c[t] ⊙ δ[t] + W_hᵀ ∂ℓ/∂(W_h h[t-1]).
"""

from typing import Any

from hw2exp.kernels.forms import NORMED, ClosedForm
from hw2exp.kernels.functions import sigmoid
from hw2exp.kernels.lanes import load, store
from hw2exp.kernels.normed.standardize import add_totals, gain_back
from hw2exp.kernels.packing import pack_plain, unpack_plain
from hw2exp.kernels.products import add_outer, add_product, product

normalize: Any = None  # bound to the norm's kernels in each copy
normalize_back: Any = None


def forward(
    x: Any, weights: Any, r: Any, h: Any, kept: Any, statistics: Any, eps: Any, mask: Any,
    count: Any,
) -> None:  # fmt: skip
    """Compute the states of all groups of 16 sequences of a replica; see :class:`ClosedForm`.

    ``weights``: W_x and W_c ``(R, H, I)``, W_h ``(R, H, H)``, their gains ``(R, 1, H)``.
    ``kept``: standardized values and inverse deviations of the three products, and the gate c, each
    ``(T G, H, 16)``.
    """
    W_x, W_c, W_h = weights[0][r], weights[1][r], weights[2][r]
    gamma_x, gamma_c, gamma_h = weights[3][r, 0], weights[4][r, 0], weights[5][r, 0]
    G, I, H = len(mask), x.shape[1], len(W_h)
    s_x, inverse_x, s_c, inverse_c, s_h, inverse_h, c = kept
    mean_x, variance_x, mean_c, variance_c = (
        statistics[0][r], statistics[1][r], statistics[2][r], statistics[3][r],
    )  # fmt: skip
    mean_h, variance_h = statistics[4][r], statistics[5][r]
    for t in range(len(x) // G):
        for n in range(t * G, (t + 1) * G):
            product(W_x, x, n * I, s_x, n * H)
            product(W_c, x, n * I, s_c, n * H)
            product(W_h, h, n * H, s_h, n * H)
        normalize(s_x, inverse_x, mean_x, variance_x, t, H, H, H, eps, mask, count)
        normalize(s_c, inverse_c, mean_c, variance_c, t, H, H, H, eps, mask, count)
        normalize(s_h, inverse_h, mean_h, variance_h, t, H, H, H, eps, mask, count)
        for row in range(t * G * H, (t + 1) * G * H):
            j = row % H
            z = load(s_c, row) * gamma_c[j] + load(s_h, row) * gamma_h[j]
            gate, u = sigmoid(z), load(s_x, row) * gamma_x[j]
            store(c, row, gate)
            store(h, row + G * H, gate * load(h, row) + (1.0 - gate) * u)


def backward(
    x: Any, weights: Any, r: Any, h: Any, kept: Any, delta: Any, gradients: Any, scratch: Any,
    mask: Any, count: Any,
) -> None:  # fmt: skip
    """Compute ∂ℓ/∂h[t] for all t, and add to the weights' gradients; see :class:`ClosedForm`.

    ``scratch``: gradients of the three products ``(T G, H, 16)``; sums of the gains' gradients
    ``(H, 16)``.
    """
    gamma_x, gamma_c, gamma_h = weights[3][r, 0], weights[4][r, 0], weights[5][r, 0]
    W_hT = weights[2][r].T
    G, H = len(mask), len(W_hT)
    s_x, inverse_x, s_c, inverse_c, s_h, inverse_h, c = kept
    d_x, d_c, d_h, of_gamma_x, of_gamma_c, of_gamma_h = scratch
    of_gamma_x[:], of_gamma_c[:], of_gamma_h[:] = 0.0, 0.0, 0.0
    T = len(x) // G
    for t in range(T - 1, -1, -1):
        for row in range(t * G * H, (t + 1) * G * H):
            gate, out, before = load(c, row), load(delta, row + G * H), load(h, row)
            rest = out * (1.0 - gate)
            u = load(s_x, row) * gamma_x[row % H]
            dz = rest * gate * (before - u)
            store(d_x, row, rest)
            store(d_c, row, dz)
            store(d_h, row, dz)
            store(delta, row, out * gate)
        gain_back(d_x, s_x, gamma_x, of_gamma_x, t, H, G)
        normalize_back(d_x, s_x, inverse_x, t, H, H, H, mask, count)
        gain_back(d_c, s_c, gamma_c, of_gamma_c, t, H, G)
        normalize_back(d_c, s_c, inverse_c, t, H, H, H, mask, count)
        gain_back(d_h, s_h, gamma_h, of_gamma_h, t, H, G)
        normalize_back(d_h, s_h, inverse_h, t, H, H, H, mask, count)
        for n in range(t * G, (t + 1) * G):
            add_product(W_hT, d_h, n * H, delta, n * H)
    add_outer(d_x, 0, x, 0, T * G, gradients[0][r])
    add_outer(d_c, 0, x, 0, T * G, gradients[1][r])
    add_outer(d_h, 0, h, 0, T * G, gradients[2][r])
    add_totals(of_gamma_x, gradients[3][r, 0])
    add_totals(of_gamma_c, gradients[4][r, 0])
    add_totals(of_gamma_h, gradients[5][r, 0])


NORMED["gated_rnn"] = ClosedForm(
    forward,
    backward,
    pack_plain,
    unpack_plain,
    weights=lambda N, G, I, H, K: [(H, I), (H, I), (H, H)] + [(1, H)] * 3,
    kept=lambda N, G, I, H, K: [(N, H)] * 7,
    scratch=lambda N, G, I, H, K: [(N, H)] * 3 + [(H,)] * 3,
    terms=("W_x", "W_c", "W_h"),
)
