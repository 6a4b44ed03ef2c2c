"""Elman's RNN and its gradient.

Forward:   h[t] = φ(z[t]),  z[t] = W [x[t]; 1] + U h[t-1], with φ = tanh, ReLU or σ.

Backward, with δ[t] = ∂ℓ/∂h[t] the total derivative:
    ∂ℓ/∂z[t] = φ'(z[t]) ⊙ δ[t],  δ[t-1] = Uᵀ ∂ℓ/∂z[t],
    ∂ℓ/∂W = Σ_t ∂ℓ/∂z[t] [x[t]; 1]ᵀ,  ∂ℓ/∂U = Σ_t ∂ℓ/∂z[t] h[t-1]ᵀ.
"""

from typing import Any

from hw2exp.kernels.forms import FORMS, ClosedForm
from hw2exp.kernels.functions import sigmoid, tanh
from hw2exp.kernels.lanes import load, maximum, positive, store
from hw2exp.kernels.packing import pack_biased, unpack_biased
from hw2exp.kernels.products import add_outer, add_product, product
from hw2exp.system.kernel_cache import kernel

TANH, RELU, SIGMOID = range(3)


@kernel
def forward_tanh(x: Any, weights: Any, r: Any, h: Any, kept: Any) -> None:
    """Run ``forward`` with φ = tanh."""
    forward(x, weights, r, h, TANH)


@kernel
def forward_relu(x: Any, weights: Any, r: Any, h: Any, kept: Any) -> None:
    """Run ``forward`` with φ = ReLU."""
    forward(x, weights, r, h, RELU)


@kernel
def forward_sigmoid(x: Any, weights: Any, r: Any, h: Any, kept: Any) -> None:
    """Run ``forward`` with φ = σ."""
    forward(x, weights, r, h, SIGMOID)


@kernel
def backward_tanh(
    x: Any, weights: Any, r: Any, h: Any, kept: Any, delta: Any, gradients: Any, scratch: Any
) -> None:
    """Run ``backward`` with φ = tanh."""
    backward(x, weights, r, h, delta, gradients, scratch[0], TANH)


@kernel
def backward_relu(
    x: Any, weights: Any, r: Any, h: Any, kept: Any, delta: Any, gradients: Any, scratch: Any
) -> None:
    """Run ``backward`` with φ = ReLU."""
    backward(x, weights, r, h, delta, gradients, scratch[0], RELU)


@kernel
def backward_sigmoid(
    x: Any, weights: Any, r: Any, h: Any, kept: Any, delta: Any, gradients: Any, scratch: Any
) -> None:
    """Run ``backward`` with φ = σ."""
    backward(x, weights, r, h, delta, gradients, scratch[0], SIGMOID)


@kernel
def forward(x: Any, weights: Any, r: Any, h: Any, phi: Any) -> None:
    """Compute the states of 16 sequences of a replica; see :class:`ClosedForm`.

    ``weights``: W ``(R, H, I+1)`` and U ``(R, H, H)``.
    ``phi``: activation: ``TANH``, ``RELU`` or ``SIGMOID``.
    """
    W, U = weights[0][r], weights[1][r]
    (T, I, _), H = x.shape, len(U)
    for t in range(T):
        after = (t + 1) * H
        product(W, x, t * I, h, after)
        add_product(U, h, t * H, h, after)
        for j in range(H):
            z = load(h, after + j)
            store(h, after + j, activate(z, phi))


@kernel
def backward(
    x: Any, weights: Any, r: Any, h: Any, delta: Any, gradients: Any, dz: Any, phi: Any
) -> None:
    """Compute ∂ℓ/∂h[t] for all t, and add to the weights' gradients; see :class:`ClosedForm`.

    ``dz``: scratch for ∂ℓ/∂z, ``(T, H, 16)``.
    ``phi``: activation: ``TANH``, ``RELU`` or ``SIGMOID``.
    """
    U_T = weights[1][r].T
    T, H = len(x), len(U_T)
    for t in range(T - 1, -1, -1):
        before, now = t * H, (t + 1) * H
        for j in range(H):
            store(dz, before + j, slope(load(h, now + j), phi) * load(delta, now + j))
        product(U_T, dz, before, delta, before)
    add_outer(dz, 0, x, 0, T, gradients[0][r])
    add_outer(dz, 0, h, 0, T, gradients[1][r])


@kernel
def activate(z: Any, phi: Any) -> Any:
    """Compute φ(z)."""
    if phi == RELU:
        return maximum(z, 0.0)
    return sigmoid(z) if phi == SIGMOID else tanh(z)


@kernel
def slope(state: Any, phi: Any) -> Any:
    """Compute φ'(z) from φ(z)."""
    if phi == RELU:
        return positive(state)
    return state * (1.0 - state) if phi == SIGMOID else 1.0 - state * state


def _form(forward: Any, backward: Any) -> ClosedForm:
    return ClosedForm(
        forward,
        backward,
        pack_biased,
        unpack_biased,
        weights=lambda N, G, I, H, K: [(H, I), (H, H)],
        kept=lambda N, G, I, H, K: [(1, 1)],
        scratch=lambda N, G, I, H, K: [(N, H)],
        ones=True,
    )


FORMS["rnn"] = _form(forward_tanh, backward_tanh)
FORMS["rnn_relu"] = _form(forward_relu, backward_relu)
FORMS["rnn_sigmoid"] = _form(forward_sigmoid, backward_sigmoid)
