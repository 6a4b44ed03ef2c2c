"""The LSTM with normalized terms, and its gradient (Cooijmans et al. 2016, eq. 6-8).

With n the standardization:

Forward:   i, f, g, o = σ, σ, tanh, σ (z[t]),  z[t] = γ_x ⊙ n(W x[t]) + γ_h ⊙ n(U h[t-1]) + b,
           c[t] = f ⊙ c[t-1] + i ⊙ g,  h[t] = o ⊙ tanh(γ_c ⊙ n(c[t]) + β).
Backward:  as without norm; ∂ℓ/∂(γ_c ⊙ n(c[t]) + β) = o ⊙ (1 - tanh²) ⊙ δ[t] propagates through n
           to c[t], and ∂ℓ/∂z[t] through n to each product.
"""

from typing import Any

from hw2exp.kernels.forms import NORMED, ClosedForm
from hw2exp.kernels.functions import sigmoid, tanh
from hw2exp.kernels.lanes import load, store
from hw2exp.kernels.normed.packing import pack_terms, unpack_terms
from hw2exp.kernels.normed.standardize import add_totals, gain_back
from hw2exp.kernels.products import add_outer, product
from hw2exp.system.kernel_cache import kernel

normalize: Any = None  # bound to the norm's kernels in each copy
normalize_back: Any = None


def forward(
    x: Any, weights: Any, r: Any, h: Any, kept: Any, statistics: Any, eps: Any, mask: Any,
    count: Any,
) -> None:  # fmt: skip
    """Compute the states of all groups of 16 sequences of a replica; see :class:`ClosedForm`.

    ``weights``: W ``(R, 4H, I)``, U ``(R, 4H, H)``, b, γ_x and γ_h ``(R, 1, 4H)``, γ_c and
    β ``(R, 1, H)``.
    ``kept``: standardized values and inverse deviations of both products ``(T G, 4H, 16)`` and of c
    ``(T G, H, 16)``; the gates ``(T G, 4H, 16)``; c with zeros at index 0 ``((T+1) G, H, 16)``; the
    tanh of the normalized c ``(T G, H, 16)``.
    """
    W, U, b = weights[0][r], weights[1][r], weights[2][r, 0]
    gamma_x, gamma_h = weights[3][r, 0], weights[4][r, 0]
    gamma_c, beta = weights[5][r, 0], weights[6][r, 0]
    G, I, H = len(mask), x.shape[1], U.shape[1]
    s_x, inverse_x, s_h, inverse_h, s_c, inverse_c, gates, cell, flat = kept
    cell[:G] = 0.0
    for t in range(len(x) // G):
        for n in range(t * G, (t + 1) * G):
            product(W, x, n * I, s_x, n * 4 * H)
            product(U, h, n * H, s_h, n * 4 * H)
        normalize(
            s_x, inverse_x, statistics[0][r], statistics[1][r], t, 4 * H, 4 * H, 4 * H, eps, mask,
            count,
        )  # fmt: skip
        normalize(
            s_h, inverse_h, statistics[2][r], statistics[3][r], t, 4 * H, 4 * H, 4 * H, eps, mask,
            count,
        )  # fmt: skip
        for n in range(t * G, (t + 1) * G):
            for j in range(4 * H):
                row = n * 4 * H + j
                z = load(s_x, row) * gamma_x[j] + load(s_h, row) * gamma_h[j] + b[j]
                store(gates, row, tanh(z) if 2 * H <= j < 3 * H else sigmoid(z))
            for j in range(H):
                z, row = n * 4 * H + j, n * H + j
                c = load(gates, z + H) * load(cell, row) + load(gates, z) * load(gates, z + 2 * H)
                store(cell, row + G * H, c)
                store(s_c, row, c)
        normalize(s_c, inverse_c, statistics[4][r], statistics[5][r], t, H, H, H, eps, mask, count)
        for n in range(t * G, (t + 1) * G):
            for j in range(H):
                row = n * H + j
                squashed = tanh(load(s_c, row) * gamma_c[j] + beta[j])
                store(flat, row, squashed)
                store(h, row + G * H, load(gates, n * 4 * H + 3 * H + j) * squashed)


def backward(
    x: Any, weights: Any, r: Any, h: Any, kept: Any, delta: Any, gradients: Any, scratch: Any,
    mask: Any, count: Any,
) -> None:  # fmt: skip
    """Compute ∂ℓ/∂h[t] for all t, and add to the weights' gradients; see :class:`ClosedForm`.

    ``scratch``: gradients of both products ``(T G, 4H, 16)``; gradient of n(c), then of c through n
    ``(T G, H, 16)``; gradient of c from the next step ``(G, H, 16)``; sums of the gradients of b,
    γ_x, γ_h ``(4H, 16)`` and of γ_c, β ``(H, 16)``.
    """
    gamma_x, gamma_h, gamma_c = weights[3][r, 0], weights[4][r, 0], weights[5][r, 0]
    U_T = weights[1][r].T
    G, H = len(mask), len(U_T)
    s_x, inverse_x, s_h, inverse_h, s_c, inverse_c, gates, cell, flat = kept
    d_x, d_h, d_c, later, of_b, of_gamma_x, of_gamma_h, of_gamma_c, of_beta = scratch
    later[:], of_b[:], of_gamma_x[:], of_gamma_h[:] = 0.0, 0.0, 0.0, 0.0
    of_gamma_c[:], of_beta[:] = 0.0, 0.0
    T = len(x) // G
    for t in range(T - 1, -1, -1):
        for n in range(t * G, (t + 1) * G):
            for j in range(H):
                row, squashed = n * H + j, load(flat, n * H + j)
                o = load(gates, n * 4 * H + 3 * H + j)
                du = load(delta, row + G * H) * o * (1.0 - squashed * squashed)
                store(of_beta, j, load(of_beta, j) + du)
                store(d_c, row, du)
        gain_back(d_c, s_c, gamma_c, of_gamma_c, t, H, G)
        normalize_back(d_c, s_c, inverse_c, t, H, H, H, mask, count)
        for n in range(t * G, (t + 1) * G):
            _gates_back(n, G, H, gates, cell, flat, delta, d_c, later, d_x)
            for j in range(4 * H):
                row, out = n * 4 * H + j, load(d_x, n * 4 * H + j)
                store(of_b, j, load(of_b, j) + out)
                store(d_h, row, out)
        gain_back(d_x, s_x, gamma_x, of_gamma_x, t, 4 * H, G)
        normalize_back(d_x, s_x, inverse_x, t, 4 * H, 4 * H, 4 * H, mask, count)
        gain_back(d_h, s_h, gamma_h, of_gamma_h, t, 4 * H, G)
        normalize_back(d_h, s_h, inverse_h, t, 4 * H, 4 * H, 4 * H, mask, count)
        for n in range(t * G, (t + 1) * G):
            product(U_T, d_h, n * 4 * H, delta, n * H)
    add_outer(d_x, 0, x, 0, T * G, gradients[0][r])
    add_outer(d_h, 0, h, 0, T * G, gradients[1][r])
    add_totals(of_b, gradients[2][r, 0])
    add_totals(of_gamma_x, gradients[3][r, 0])
    add_totals(of_gamma_h, gradients[4][r, 0])
    add_totals(of_gamma_c, gradients[5][r, 0])
    add_totals(of_beta, gradients[6][r, 0])


@kernel
def _gates_back(
    n: Any, G: Any, H: Any, gates: Any, cell: Any, flat: Any, delta: Any, d_c: Any, later: Any,
    dz: Any,
) -> None:  # fmt: skip
    """Compute one group's ∂ℓ/∂z[t], from ∂ℓ/∂h[t] and from ∂ℓ/∂c[t] by n and the next step."""
    for j in range(H):
        z, row, next_row = n * 4 * H + j, n * H + j, (n % G) * H + j
        i, f = load(gates, z), load(gates, z + H)
        g, o = load(gates, z + 2 * H), load(gates, z + 3 * H)
        e = load(later, next_row) + load(d_c, row)
        store(dz, z, e * g * i * (1.0 - i))
        store(dz, z + H, e * load(cell, row) * f * (1.0 - f))
        store(dz, z + 2 * H, e * i * (1.0 - g * g))
        store(dz, z + 3 * H, load(delta, row + G * H) * load(flat, row) * o * (1.0 - o))
        store(later, next_row, e * f)


NORMED["lstm"] = ClosedForm(
    forward,
    backward,
    pack_terms,
    unpack_terms,
    weights=lambda N, G, I, H, K: [(4 * H, I), (4 * H, H)] + [(1, 4 * H)] * 3 + [(1, H)] * 2,
    kept=lambda N, G, I, H, K: [(N, 4 * H)] * 4 + [(N, H)] * 2 + [(N, 4 * H), (N + G, H), (N, H)],
    scratch=lambda N, G, I, H, K: [(N, 4 * H)] * 2 + [(N, H), (G, H)] + [(4 * H,)] * 3 + [(H,)] * 2,
    terms=("weight_ih", "weight_hh", "c"),
)
