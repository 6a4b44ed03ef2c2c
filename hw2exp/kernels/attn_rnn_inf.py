"""AttentionRNN(∞) and its gradient in O(1) a step (write-up, part 1.2.2 d, f).

Scores are quadratic forms ½ hᵀ S h, as in AttentionRNN(k). A state's score and value never change,
so two running sums suffice, with m[t] the largest score so far:
    n[t] = Σ_{s<t} exp(w[s] - m[t]) v[s],  d[t] = Σ_{s<t} exp(w[s] - m[t]).
With top[t] = max(m[t], w_0[t]) and e_0 = exp(w_0 - top):
    z[t] = exp(m - top) d + e_0,  h[t] = (exp(m - top) n + e_0 v_0) / z[t].

Backward, with δ[t] = ∂ℓ/∂h[t] the total derivative: all later steps attend to state s. Two running
sums gather them backward, with μ[s] the least top so far (so that no exponent is > 0):
    G[s] = Σ_{t>s} exp(μ - top[t]) / z[t] δ[t],  F[s] = Σ_{t>s} exp(μ - top[t]) / z[t] h[t]ᵀ δ[t],
    ∂ℓ/∂v[s] = exp(w[s] - μ) G[s],  ∂ℓ/∂w[s] = exp(w[s] - μ) (v[s]ᵀ G[s] - F[s]),
    δ[s] = S h[s] ∂ℓ/∂w[s] + Vᵀ ∂ℓ/∂v[s].
"""

from typing import Any

from hw2exp.kernels.forms import FORMS, ClosedForm
from hw2exp.kernels.functions import exp_or_zero
from hw2exp.kernels.lanes import fma, load, maximum, minimum, store, zeros
from hw2exp.kernels.packing import pack_endless, unpack_endless
from hw2exp.kernels.products import add_outer, dot, product
from hw2exp.system.kernel_cache import kernel


@kernel
def forward(x: Any, weights: Any, r: Any, h: Any, kept: Any) -> None:
    """Compute the states of 16 sequences of a replica; see :class:`ClosedForm`.

    ``weights``: S_0 ``(R, I, I)``, V_0 ``(R, H, I)``, S and V ``(R, H, H)``.
    ``kept``: each ``(T, ·, 16)``: the input's attention a_0, top, z and the score w (4 rows), S h
    (H), the values v (H) and v_0 (H); and scratch: S_0 x (I), the sum n (H).
    """
    S_0, V_0, S, V = weights[0][r], weights[1][r], weights[2][r], weights[3][r]
    (T, I, _), H = x.shape, len(S)
    own, Sh, v, v_0, Sx, sums = kept
    m, d = zeros(x), zeros(x)
    for j in range(H):
        store(sums, j, zeros(x))
    for t in range(T):
        before, now = t * H, (t + 1) * H
        product(S_0, x, t * I, Sx, 0)
        product(V_0, x, t * I, v_0, before)
        w_0 = dot(x, t * I, Sx, 0, I) * 0.5
        top = maximum(m, w_0) if t > 0 else w_0
        past, e_0 = exp_or_zero(m - top), exp_or_zero(w_0 - top)
        z = past * d + e_0
        store(own, 4 * t, e_0 / z)
        store(own, 4 * t + 1, top)
        store(own, 4 * t + 2, z)
        for j in range(H):
            mixed = fma(past, load(sums, j), e_0 * load(v_0, before + j))
            store(h, now + j, mixed / z)
        product(S, h, now, Sh, before)
        product(V, h, now, v, before)
        w = dot(h, now, Sh, before, H) * 0.5
        store(own, 4 * t + 3, w)
        larger = maximum(m, w) if t > 0 else w
        past, e = exp_or_zero(m - larger), exp_or_zero(w - larger)
        m, d = larger, past * d + e
        for j in range(H):
            store(sums, j, fma(past, load(sums, j), e * load(v, before + j)))


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
    ``scratch``: ½ ∂ℓ/∂w_0 x ``(T, I, 16)``; G ``(H, 16)``.
    """
    V_T = weights[3][r].T
    (T, I, _), H = x.shape, len(V_T)
    own, Sh, v, v_0, _, _ = kept
    dwx, G = scratch
    dwh, dv, dv_0 = Sh, v, v_0  # each overwrites an array that is no longer needed
    F = mu = zeros(x)
    for t in range(T - 1, -1, -1):
        before, now = t * H, (t + 1) * H
        if t < T - 1:
            e = exp_or_zero(load(own, 4 * t + 3) - mu)
            dw = e * (dot(v, before, G, 0, H) - F)
            for j in range(H):
                store(dv, before + j, e * load(G, j))
            product(V_T, dv, before, delta, now)
            for j in range(H):
                store(delta, now + j, fma(dw, load(Sh, before + j), load(delta, now + j)))
                store(dwh, before + j, dw * load(h, now + j) * 0.5)
        mean = dot(h, now, delta, now, H)
        a_0, top = load(own, 4 * t), load(own, 4 * t + 1)
        dw_0 = a_0 * (dot(v_0, before, delta, now, H) - mean)
        for i in range(I):
            store(dwx, t * I + i, dw_0 * load(x, t * I + i) * 0.5)
        least = minimum(mu, top) if t < T - 1 else top
        old, new = exp_or_zero(least - mu), exp_or_zero(least - top) / load(own, 4 * t + 2)
        for j in range(H):
            out = load(delta, now + j)
            store(dv_0, before + j, a_0 * out)
            gathered = old * load(G, j) if t < T - 1 else zeros(x)
            store(G, j, fma(new, out, gathered))
        F, mu = old * F + new * mean, least
    add_outer(dwx, 0, x, 0, T, gradients[0][r])
    add_outer(dv_0, 0, x, 0, T, gradients[1][r])
    add_outer(dwh, 0, h, H, T - 1, gradients[2][r])
    add_outer(dv, 0, h, H, T - 1, gradients[3][r])
    for j in range(H):
        store(delta, j, zeros(x))


FORMS["attn_rnn_inf"] = ClosedForm(
    forward,
    backward,
    pack_endless,
    unpack_endless,
    weights=lambda N, G, I, H, K: [(I, I), (H, I), (H, H), (H, H)],
    kept=lambda N, G, I, H, K: [(N, 4), (N, H), (N, H), (N, H), (1, I), (1, H)],
    scratch=lambda N, G, I, H, K: [(N, I), (1, H)],
)
