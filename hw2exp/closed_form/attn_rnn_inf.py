"""AttentionRNN(∞) and its gradient in O(1) a step (write-up, part 1.2.2 d, f).

Scores are quadratic forms ½ hᵀ S h, as in AttentionRNN(k). A state's score and value never change
once it is made, so that two running sums do, with m[t] the largest score so far:
    n[t] = Σ_{s<t} exp(w[s] - m[t]) v[s],  d[t] = Σ_{s<t} exp(w[s] - m[t]).
With top[t] = max(m[t], w_0[t]) and e_0 = exp(w_0 - top):
    z[t] = exp(m - top) d + e_0,  h[t] = (exp(m - top) n + e_0 v_0) / z[t].

Backward, with δ[t] = ∂ℓ/∂h[t] the total derivative: state s is seen by all later steps, which two
running sums gather on the way back, with μ[s] the least top so far (so that no exponent is > 0):
    G[s] = Σ_{t>s} exp(μ - top[t]) / z[t] δ[t],  F[s] = Σ_{t>s} exp(μ - top[t]) / z[t] h[t]ᵀ δ[t],
    ∂ℓ/∂v[s] = exp(w[s] - μ) G[s],  ∂ℓ/∂w[s] = exp(w[s] - μ) (v[s]ᵀ G[s] - F[s]),
    δ[s] = S h[s] ∂ℓ/∂w[s] + Vᵀ ∂ℓ/∂v[s].
"""

from typing import Any

from hw2exp.closed_form.functions import exp
from hw2exp.closed_form.lanes import load, maximum, minimum, store, zeros
from hw2exp.closed_form.products import add_outer, dot, product
from hw2exp.kernel import kernel


@kernel
def forward(x: Any, weights: Any, h: Any, kept: Any) -> None:
    """Compute all states.

    Args:
        x: inputs, ``(R, N, T, I, 16)``.
        weights: S_0 ``(R, I, I)``, V_0 ``(R, H, I)``, S and V ``(R, H, H)``.
        h: ``(R, N, T+1, H, 16)``; state t comes to place t + 1, zeros stand at place 0.
        kept: for the way back, each ``(R, N, T, ·, 16)``: the input's share a_0, top, z and the
            score w (4 rows), S h (H), the values v (H) and v_0 (H), S_0 x (I), and the sum n (H).
    """
    S_0, V_0, S, V = weights
    R, N, T, I, _ = x.shape
    H = S.shape[2]
    for r in range(R):
        for n in range(N):
            xs, hs, own, Sh = x[r, n], h[r, n], kept[0][r, n], kept[1][r, n]
            v, v_0, Sx, sums = kept[2][r, n], kept[3][r, n], kept[4][r, n], kept[5][r, n]
            m, d = zeros(x), zeros(x)
            for j in range(H):
                store(sums, j, zeros(x))
            for t in range(T):
                before, now = t * H, (t + 1) * H
                product(S_0[r], xs, t * I, Sx, t * I)
                product(V_0[r], xs, t * I, v_0, before)
                w_0 = dot(xs, t * I, Sx, t * I, I) * 0.5
                top = maximum(m, w_0) if t > 0 else w_0
                past, e_0 = exp(m - top), exp(w_0 - top)
                z = past * d + e_0
                store(own, 4 * t, e_0 / z)
                store(own, 4 * t + 1, top)
                store(own, 4 * t + 2, z)
                for j in range(H):
                    mixed = past * load(sums, j) + e_0 * load(v_0, before + j)
                    store(hs, now + j, mixed / z)
                product(S[r], hs, now, Sh, before)
                product(V[r], hs, now, v, before)
                w = dot(hs, now, Sh, before, H) * 0.5
                store(own, 4 * t + 3, w)
                larger = maximum(m, w) if t > 0 else w
                past, e = exp(m - larger), exp(w - larger)
                m, d = larger, past * d + e
                for j in range(H):
                    store(sums, j, past * load(sums, j) + e * load(v, before + j))


@kernel
def backward(
    x: Any, weights: Any, h: Any, kept: Any, delta: Any, gradients: Any, scratch: Any
) -> None:
    """Compute ∂ℓ/∂h[t] for all t, and the weights' gradients.

    Args:
        x: inputs, ``(R, N, T, I, 16)``.
        weights: as in ``forward``.
        h: from ``forward``.
        kept: from ``forward``.
        delta: ``(R, N, T+1, H, 16)``; the last place holds ∂ℓ/∂h[T], the others are filled.
        gradients: zeros, shaped as the weights.
        scratch: ∂ℓ/∂v, ∂ℓ/∂v_0 and ½ ∂ℓ/∂w h, each ``(T, H, 16)``, and ½ ∂ℓ/∂w_0 x
            ``(T, I, 16)``; G ``(H, 16)``.
    """
    V = weights[3]
    R, N, T, I, _ = x.shape
    H = V.shape[2]
    dv, dv_0, dwh, dwx, G = scratch
    for r in range(R):
        V_T = V[r].T
        for n in range(N):
            xs, hs, own, dh = x[r, n], h[r, n], kept[0][r, n], delta[r, n]
            Sh, v, v_0 = kept[1][r, n], kept[2][r, n], kept[3][r, n]
            F = mu = zeros(x)
            for t in range(T - 1, -1, -1):
                before, now = t * H, (t + 1) * H
                if t < T - 1:
                    e = exp(load(own, 4 * t + 3) - mu)
                    dw = e * (dot(v, before, G, 0, H) - F)
                    for j in range(H):
                        store(dv, before + j, e * load(G, j))
                        store(dwh, before + j, dw * load(hs, now + j) * 0.5)
                    product(V_T, dv, before, dh, now)
                    for j in range(H):
                        store(dh, now + j, load(dh, now + j) + dw * load(Sh, before + j))
                mean = dot(hs, now, dh, now, H)
                a_0, top = load(own, 4 * t), load(own, 4 * t + 1)
                dw_0 = a_0 * (dot(v_0, before, dh, now, H) - mean)
                for i in range(I):
                    store(dwx, t * I + i, dw_0 * load(xs, t * I + i) * 0.5)
                least = minimum(mu, top) if t < T - 1 else top
                old, new = exp(least - mu), exp(least - top) / load(own, 4 * t + 2)
                for j in range(H):
                    out = load(dh, now + j)
                    store(dv_0, before + j, a_0 * out)
                    gathered = old * load(G, j) if t < T - 1 else zeros(x)
                    store(G, j, gathered + new * out)
                F, mu = old * F + new * mean, least
            add_outer(dwx, 0, xs, 0, T, gradients[0][r])
            add_outer(dv_0, 0, xs, 0, T, gradients[1][r])
            add_outer(dwh, 0, hs, H, T - 1, gradients[2][r])
            add_outer(dv, 0, hs, H, T - 1, gradients[3][r])
            for j in range(H):
                store(dh, j, zeros(x))
