"""AttentionRNN(k) with normalized queries, keys and values, and its gradient.

Forward:   (q_i, k_i, v_i) = γ ⊙ n((Q_i, K_i, V_i) h[t-i]), and of x[t] for i = 0, with n the
           standardization, which QK normalization does not apply to the values;
           w_i = q_iᵀ k_i,  a = softargmax(w),  h[t] = Σ a_i v_i.
Backward:  ∂ℓ/∂w_i = a_i (v_i - h[t])ᵀ δ[t],  ∂ℓ/∂q_i = k_i ∂ℓ/∂w_i,  ∂ℓ/∂k_i = q_i ∂ℓ/∂w_i,
           ∂ℓ/∂v_i = a_i δ[t]; these propagate through n and the products to δ[t-i].
"""

from typing import Any

from hw2exp.kernels.attn_rnn import softargmax
from hw2exp.kernels.forms import NORMED, ClosedForm
from hw2exp.kernels.lanes import load, store, zeros
from hw2exp.kernels.normed.packing import pack_stacked, unpack_stacked
from hw2exp.kernels.normed.standardize import add_totals, gain_back
from hw2exp.kernels.products import add_outer, add_product, dot, product
from hw2exp.system.kernel_cache import kernel

normalize: Any = None  # bound to the norm's kernels in each copy
normalize_back: Any = None
PARTS: Any = 3  # standardize queries, keys and values (3), or the first two


def forward(
    x: Any, weights: Any, r: Any, h: Any, kept: Any, statistics: Any, eps: Any, mask: Any,
    count: Any,
) -> None:  # fmt: skip
    """Compute the states of all groups of 16 sequences of a replica; see :class:`ClosedForm`.

    ``weights``: Q, K, V of the input stacked along the rows ``(R, 3H, I)``, and of all lags
    ``(R, 3KH, H)``; their gains ``(R, 1, 3H)``, ``(R, 1, 3KH)``.
    ``kept``: for the input ``(T G, 3H, 16)`` and for the states ``(T G, 3KH, 16)``: the
    standardized products, their inverse deviations, and the products times their gains; the states'
    scores ``(T G, K, 16)`` and the attention ``(T G, 1 + K, 16)``.
    """
    of_input, of_states, gamma_x, gamma_h = (
        weights[0][r],
        weights[1][r],
        weights[2][r, 0],
        weights[3][r, 0],
    )
    G, I, H, KH = len(mask), x.shape[1], of_states.shape[1], len(of_states) // 3
    K = KH // H
    s_x, inverse_x, y_x, s_h, inverse_h, y_h, w, a = kept
    mean_x, variance_x, mean_h, variance_h = (
        statistics[0][r], statistics[1][r], statistics[2][r], statistics[3][r],
    )  # fmt: skip
    for t in range(len(x) // G):
        for n in range(t * G, (t + 1) * G):
            product(of_input, x, n * I, s_x, n * 3 * H)
        normalize(s_x, inverse_x, mean_x, variance_x, t, 3 * H, PARTS * H, H, eps, mask, count)
        for n in range(t * G, (t + 1) * G):
            _gain(s_x, gamma_x, y_x, n)
            query = n * 3 * H
            store(a, n * (K + 1), dot(y_x, query, y_x, query + H, H))
            for i in range(1, K + 1):
                score = load(w, (n - i * G) * K + i - 1) if i <= t else zeros(w)
                store(a, n * (K + 1) + i, score)
            softargmax(a, n * (K + 1), K + 1)
            _mix(a, y_x, y_h, h, n, G, K, H, min(K, t))
            product(of_states, h, (n + G) * H, s_h, n * 3 * KH)
        normalize(s_h, inverse_h, mean_h, variance_h, t, 3 * KH, PARTS * KH, H, eps, mask, count)
        for n in range(t * G, (t + 1) * G):
            _gain(s_h, gamma_h, y_h, n)
            for i in range(K):
                query = n * 3 * KH + i * H
                store(w, n * K + i, dot(y_h, query, y_h, query + KH, H))


@kernel
def _gain(s: Any, gamma: Any, y: Any, n: Any) -> None:
    """Compute y = γ ⊙ s of one group."""
    rows = len(gamma)
    for j in range(rows):
        store(y, n * rows + j, load(s, n * rows + j) * gamma[j])


@kernel
def _mix(a: Any, y_x: Any, y_h: Any, h: Any, n: Any, G: Any, K: Any, H: Any, seen: Any) -> None:
    """Compute h[t] = Σ a_i v_i of one group."""
    share = load(a, n * (K + 1))
    for j in range(H):
        store(h, (n + G) * H + j, share * load(y_x, (3 * n + 2) * H + j))
    for i in range(1, seen + 1):
        share, value = load(a, n * (K + 1) + i), ((n - i * G) * 3 + 2) * K * H + (i - 1) * H
        for j in range(H):
            row = (n + G) * H + j
            store(h, row, load(h, row) + share * load(y_h, value + j))


def backward(
    x: Any, weights: Any, r: Any, h: Any, kept: Any, delta: Any, gradients: Any, scratch: Any,
    mask: Any, count: Any,
) -> None:  # fmt: skip
    """Compute ∂ℓ/∂h[t] for all t, and add to the weights' gradients; see :class:`ClosedForm`.

    ``scratch``: gradients of both products ``(T G, 3H, 16)``, ``(T G, 3KH, 16)``; sums of the
    gains' gradients ``(3H, 16)``, ``(3KH, 16)``.
    """
    gamma_x, gamma_h, back = weights[2][r, 0], weights[3][r, 0], weights[1][r].T
    G, H, KH = len(mask), len(back), len(gamma_h) // 3
    K = KH // H
    s_x, inverse_x, y_x, s_h, inverse_h, y_h, _, a = kept
    d_x, d_h, of_gamma_x, of_gamma_h = scratch
    d_h[:], of_gamma_x[:], of_gamma_h[:] = 0.0, 0.0, 0.0
    T = len(x) // G
    delta[: T * G] = 0.0
    for t in range(T - 1, -1, -1):
        gain_back(d_h, s_h, gamma_h, of_gamma_h, t, 3 * KH, G)
        normalize_back(d_h, s_h, inverse_h, t, 3 * KH, PARTS * KH, H, mask, count)
        for n in range(t * G, (t + 1) * G):
            now = (n + G) * H
            add_product(back, d_h, n * 3 * KH, delta, now)
            middle = dot(h, now, delta, now, H)
            _attention_back(a, n * (K + 1), y_x, n * 3 * H, H, H, delta, now, middle, d_x)
            for i in range(1, min(K, t) + 1):
                query = (n - i * G) * 3 * KH + (i - 1) * H
                _attention_back(a, n * (K + 1) + i, y_h, query, KH, H, delta, now, middle, d_h)
        gain_back(d_x, s_x, gamma_x, of_gamma_x, t, 3 * H, G)
        normalize_back(d_x, s_x, inverse_x, t, 3 * H, PARTS * H, H, mask, count)
    add_outer(d_x, 0, x, 0, T * G, gradients[0][r])
    add_outer(d_h, 0, h, G * H, T * G, gradients[1][r])
    add_totals(of_gamma_x, gradients[2][r, 0])
    add_totals(of_gamma_h, gradients[3][r, 0])


@kernel
def _attention_back(
    a: Any, share_row: Any, y: Any, query: Any, apart: Any, H: Any, delta: Any, now: Any,
    middle: Any, d: Any,
) -> None:  # fmt: skip
    """Compute the gradients of a query, key and value, which lie ``apart`` rows apart."""
    share, key, value = load(a, share_row), query + apart, query + 2 * apart
    of_score = share * (dot(y, value, delta, now, H) - middle)
    for j in range(H):
        store(d, query + j, of_score * load(y, key + j))
        store(d, key + j, of_score * load(y, query + j))
        store(d, value + j, share * load(delta, now + j))


NORMED["attn_rnn"] = ClosedForm(
    forward,
    backward,
    pack_stacked,
    unpack_stacked,
    weights=lambda N, G, I, H, K: [(3 * H, I), (3 * K * H, H), (1, 3 * H), (1, 3 * K * H)],
    kept=lambda N, G, I, H, K: [(N, 3 * H)] * 3 + [(N, 3 * K * H)] * 3 + [(N, K), (N, 1 + K)],
    scratch=lambda N, G, I, H, K: [(N, 3 * H), (N, 3 * K * H), (3 * H,), (3 * K * H,)],
    terms=("x", "h"),
)
