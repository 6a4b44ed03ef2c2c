"""The LSTM and its gradient (Hochreiter & Schmidhuber 1997; forget gate: Gers 2000).

Forward:   i, f, g, o = σ, σ, tanh, σ (z[t]),  z[t] = W [x[t]; 1] + U h[t-1],
           c[t] = f ⊙ c[t-1] + i ⊙ g,  h[t] = o ⊙ tanh(c[t]).

Backward, with δ[t] = ∂ℓ/∂h[t] and ε[t] = ∂ℓ/∂c[t] the total derivatives:
    ε[t] = f[t+1] ⊙ ε[t+1] + o ⊙ (1 - tanh²(c[t])) ⊙ δ[t],
    ∂ℓ/∂z[t] = (ε ⊙ g ⊙ i (1-i), ε ⊙ c[t-1] ⊙ f (1-f), ε ⊙ i ⊙ (1-g²), δ ⊙ tanh(c) ⊙ o (1-o)),
    δ[t-1] = Uᵀ ∂ℓ/∂z[t],  ∂ℓ/∂W = Σ_t ∂ℓ/∂z[t] [x[t]; 1]ᵀ,  ∂ℓ/∂U = Σ_t ∂ℓ/∂z[t] h[t-1]ᵀ.
"""

from typing import Any

from hw2exp.kernels.forms import FORMS, ClosedForm
from hw2exp.kernels.functions import sigmoid, tanh
from hw2exp.kernels.lanes import load, store, zeros
from hw2exp.kernels.packing import pack_biased, unpack_biased
from hw2exp.kernels.products import add_outer, add_product, product
from hw2exp.system.kernel_cache import kernel


@kernel
def forward(x: Any, weights: Any, r: Any, h: Any, kept: Any) -> None:
    """Compute the states of 16 sequences of a replica; see :class:`ClosedForm`.

    ``weights``: W ``(R, 4H, I+1)`` and U ``(R, 4H, H)``.
    ``kept``: the gates ``(T, 4H, 16)``, c with zeros at index 0 ``(T+1, H, 16)``, and tanh(c)
    ``(T, H, 16)``.
    """
    W, U = weights[0][r], weights[1][r]
    (T, I, _), H = x.shape, U.shape[1]
    gates, cell, squashed = kept
    for j in range(H):
        store(cell, j, zeros(x))
    for t in range(T):
        z, before, after = t * 4 * H, t * H, (t + 1) * H
        product(W, x, t * I, gates, z)
        add_product(U, h, before, gates, z)
        for j in range(H):
            i, f = sigmoid(load(gates, z + j)), sigmoid(load(gates, z + H + j))
            g, o = tanh(load(gates, z + 2 * H + j)), sigmoid(load(gates, z + 3 * H + j))
            c = f * load(cell, before + j) + i * g
            flat = tanh(c)
            store(gates, z + j, i)
            store(gates, z + H + j, f)
            store(gates, z + 2 * H + j, g)
            store(gates, z + 3 * H + j, o)
            store(cell, after + j, c)
            store(squashed, before + j, flat)
            store(h, after + j, o * flat)


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
    ``scratch``: ∂ℓ/∂c ``(H, 16)``.
    """
    U_T = weights[1][r].T
    T, H = len(x), len(U_T)
    gates, cell, squashed = kept
    dz, dc = gates, scratch[0]  # each gradient overwrites its gate
    for j in range(H):
        store(dc, j, zeros(x))
    for t in range(T - 1, -1, -1):
        z, before, now = t * 4 * H, t * H, (t + 1) * H
        for j in range(H):
            i, f = load(gates, z + j), load(gates, z + H + j)
            g, o = load(gates, z + 2 * H + j), load(gates, z + 3 * H + j)
            out, flat = load(delta, now + j), load(squashed, before + j)
            e = load(dc, j) + out * o * (1.0 - flat * flat)
            store(dz, z + j, e * g * i * (1.0 - i))
            store(dz, z + H + j, e * load(cell, before + j) * f * (1.0 - f))
            store(dz, z + 2 * H + j, e * i * (1.0 - g * g))
            store(dz, z + 3 * H + j, out * flat * o * (1.0 - o))
            store(dc, j, e * f)
        product(U_T, dz, z, delta, before)
    add_outer(dz, 0, x, 0, T, gradients[0][r])
    add_outer(dz, 0, h, 0, T, gradients[1][r])


FORMS["lstm"] = ClosedForm(
    forward,
    backward,
    pack_biased,
    unpack_biased,
    weights=lambda N, G, I, H, K: [(4 * H, I), (4 * H, H)],
    kept=lambda N, G, I, H, K: [(N, 4 * H), (N + 1, H), (N, H)],
    scratch=lambda N, G, I, H, K: [(1, H)],
    ones=True,
)
