"""AttentionRNN(k) and its gradient (write-up, part 1.2.2 a-c, e, f).

A score is a quadratic form of one vector: q_iᵀ k_i = hᵀ Q_iᵀ K_i h = ½ hᵀ S_i h with the
symmetric S_i = Q_iᵀ K_i + K_iᵀ Q_i. So a state needs only the products S_i h and V_i h, and S_i h
is also the score's gradient.

Forward, with w_0 and v_0 of x[t] and w_i, v_i of h[t-i]:
    w_i = ½ hᵀ S_i h,  v_i = V_i h,  a = softargmax(w),  h[t] = Σ a_i v_i.

Backward, with δ[t] = ∂ℓ/∂h[t] the total derivative, which step t passes on to past states:
    ∂ℓ/∂w_i = a_i (v_i - h[t])ᵀ δ[t],  ∂ℓ/∂v_i = a_i δ[t],
    δ[t-i] += S_i h[t-i] ∂ℓ/∂w_i + V_iᵀ ∂ℓ/∂v_i,
    ∂ℓ/∂S_i = ½ Σ_t ∂ℓ/∂w_i h hᵀ,  ∂ℓ/∂V_i = Σ_t ∂ℓ/∂v_i hᵀ.
"""

from typing import Any

from hw2exp.kernels.forms import FORMS, ClosedForm
from hw2exp.kernels.functions import exp_or_zero
from hw2exp.kernels.lanes import fma, load, maximum, store, zeros
from hw2exp.kernels.packing import pack_lags, unpack_lags
from hw2exp.kernels.products import add_outer, add_product, dot, product
from hw2exp.system.kernel_cache import kernel


@kernel
def forward(x: Any, weights: Any, r: Any, h: Any, kept: Any) -> None:
    """Compute the states of 16 sequences of a replica; see :class:`ClosedForm`.

    ``weights``: S_0 ``(R, I, I)``, V_0 ``(R, H, I)``, and S, V of all lags ``(R, KH, H)``.
    ``kept``: each ``(T, ·, 16)``: attention a (1 + K rows), scores w (K), score gradients S_i h
    (KH), values v (KH), the input's value v_0 (H); and scratch (I).
    """
    S_0, V_0, S, V = weights[0][r], weights[1][r], weights[2][r], weights[3][r]
    (T, I, _), (KH, H) = x.shape, S.shape
    K = KH // H
    a, w, Sh, v, v_0, Sx = kept
    for t in range(T):
        product(S_0, x, t * I, Sx, 0)
        product(V_0, x, t * I, v_0, t * H)
        store(a, t * (K + 1), dot(x, t * I, Sx, 0, I) * 0.5)
        for i in range(1, K + 1):
            score = load(w, (t - i) * K + i - 1) if i <= t else zeros(w)
            store(a, t * (K + 1) + i, score)
        softargmax(a, t * (K + 1), K + 1)
        _mix(a, v_0, v, h, t, K, H)
        now = (t + 1) * H
        product(S, h, now, Sh, t * K * H)
        product(V, h, now, v, t * K * H)
        for i in range(K):
            store(w, t * K + i, dot(h, now, Sh, (t * K + i) * H, H) * 0.5)


@kernel
def softargmax(a: Any, row: Any, count: Any) -> None:
    """Turn scores into attention weights, in place.

    Args:
        a: the array of the scores.
        row: row of the first score.
        count: number of scores.
    """
    top = load(a, row)
    for i in range(1, count):
        top = maximum(top, load(a, row + i))
    whole = zeros(a)
    for i in range(count):
        e = exp_or_zero(load(a, row + i) - top)
        store(a, row + i, e)
        whole = whole + e
    for i in range(count):
        store(a, row + i, load(a, row + i) / whole)


@kernel
def _mix(a: Any, v_0: Any, v: Any, h: Any, t: Any, K: Any, H: Any) -> None:
    """Compute h[t] = Σ a_i v_i."""
    attention = t * (K + 1)
    share = load(a, attention)
    for j in range(H):
        store(h, (t + 1) * H + j, share * load(v_0, t * H + j))
    for i in range(1, min(K, t) + 1):
        share, source = load(a, attention + i), ((t - i) * K + i - 1) * H
        for j in range(H):
            row = (t + 1) * H + j
            store(h, row, fma(share, load(v, source + j), load(h, row)))


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

    ``scratch``: ∂ℓ/∂w ``(T, 1 + K, 16)``, two weighted vectors ``(T, H, 16)`` and ``(T, I, 16)``.
    """
    V = weights[3][r]
    (T, I, _), (KH, H) = x.shape, V.shape
    K = KH // H
    a, _, Sh, v, v_0, _ = kept
    dw, weighted, weighted_x = scratch
    for row in range(T * H):
        store(delta, row, zeros(delta))
    for t in range(T - 1, -1, -1):
        now, attention = (t + 1) * H, t * (K + 1)
        mean = dot(h, now, delta, now, H)
        away = dot(v_0, t * H, delta, now, H) - mean
        store(dw, attention, load(a, attention) * away)
        for i in range(1, min(K, t) + 1):
            source, state = ((t - i) * K + i - 1) * H, (t - i + 1) * H
            share = load(a, attention + i)
            of_score = share * (dot(v, source, delta, now, H) - mean)
            store(dw, attention + i, of_score)
            for j in range(H):
                store(weighted, j, share * load(delta, now + j))
                grown = fma(of_score, load(Sh, source + j), load(delta, state + j))
                store(delta, state + j, grown)
            add_product(V[(i - 1) * H : i * H].T, weighted, 0, delta, state)
    _scale(dw, 0, K + 1, x, 0, I, T, 0.5, weighted_x)
    add_outer(weighted_x, 0, x, 0, T, gradients[0][r])
    _scale(a, 0, K + 1, delta, H, H, T, 1.0, weighted)
    add_outer(weighted, 0, x, 0, T, gradients[1][r])
    for i in range(1, min(K, T - 1) + 1):
        own, seen = slice((i - 1) * H, i * H), T - i
        first = i * (K + 1) + i
        _scale(dw, first, K + 1, h, H, H, seen, 0.5, weighted)
        add_outer(weighted, 0, h, H, seen, gradients[2][r, own])
        _scale(a, first, K + 1, delta, (i + 1) * H, H, seen, 1.0, weighted)
        add_outer(weighted, 0, h, H, seen, gradients[3][r, own])


@kernel
def _scale(
    by: Any, by_row: Any, stride: Any, a: Any, a_row: Any, rows: Any, steps: Any, f: Any, out: Any
) -> None:
    """Compute out[t] = f · by[t] · a[t] for ``steps`` vectors of ``rows`` rows."""
    for t in range(steps):
        factor = load(by, by_row + t * stride) * f
        for j in range(rows):
            store(out, t * rows + j, factor * load(a, a_row + t * rows + j))


FORMS["attn_rnn"] = ClosedForm(
    forward,
    backward,
    pack_lags,
    unpack_lags,
    weights=lambda N, G, I, H, K: [(I, I), (H, I), (K * H, H), (K * H, H)],
    kept=lambda N, G, I, H, K: [(N, 1 + K), (N, K), (N, K * H), (N, K * H), (N, H), (1, I)],
    scratch=lambda N, G, I, H, K: [(N, 1 + K), (N, H), (N, I)],
)
