"""The closed form of each cell: its kernels, their weights, and the arrays that they need."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hw2exp.kernels import attn_rnn, attn_rnn_inf, gated_rnn, lstm, rnn
from hw2exp.models.axes import Params, Shape

Shapes = list[Shape]
Sizes = Callable[[int, int, int, int], Shapes]
"""A function from T, I, H and K to the shapes of a form's arrays."""


@dataclass(frozen=True)
class ClosedForm:
    """A cell's kernels, and the description of their arguments.

    Both kernels get x, the inputs ``(T, I, 16)``; the weights; r, the index of the replica; h, the
    states ``(T+1, H, 16)``, zeros at index 0 and state t at index t + 1; and the kept arrays.
    Backward also gets delta, ∂ℓ/∂h[t] ``(T+1, H, 16)``, of which the last entry is input and the
    others are output; the gradients of the weights, to which it adds; and the scratch arrays.

    Args:
        forward: kernel that computes the states of 16 sequences.
        backward: kernel that computes ∂ℓ/∂h[t] for all t, and adds to the weights' gradients.
        weights: function from the cell's parameters to the kernels' weights, each ``(R, ·, ·)``;
            autograd differentiates it.
        kept: shapes ``(T, rows)`` of the arrays that forward keeps for backward; at least one.
        scratch: shapes ``(·, rows)`` of backward's other arrays; at least one.
        ones: append a one to the input as its last row, so that the bias is a column of the
            weights.
    """

    forward: Callable[..., None]
    backward: Callable[..., None]
    weights: Callable[[Params], tuple[Tensor, ...]]
    kept: Sizes
    scratch: Sizes
    ones: bool = False


def gated_weights(params: Params) -> tuple[Tensor, ...]:
    """Return W_x, W_c and W_h unchanged."""
    return params["W_x"], params["W_c"], params["W_h"]


def symmetric(query: Tensor, key: Tensor) -> Tensor:
    """Compute S = QᵀK + KᵀQ, for which (Q h)ᵀ (K h) = ½ hᵀ S h.

    Args:
        query: Q, ``(N, H, I)``.
        key: K, ``(N, H, I)``.
    """
    form = torch.bmm(query.mT, key)  # (N, I, I)
    return form + form.mT


def attention_weights(params: Params) -> tuple[Tensor, ...]:
    """Return S and V of the input, and those of all lags stacked along the rows."""
    lags = range(1, sum(name.startswith("Q_") for name in params))
    Q, K, V = (torch.stack([params[f"{name}_{i}"] for i in lags], 1) for name in "QKV")
    S = symmetric(Q.flatten(0, 1), K.flatten(0, 1))  # (R K, H, H)
    below = len(Q), -1, Q.shape[-1]
    S_0 = symmetric(params["Q_0"], params["K_0"])
    return S_0, params["V_0"], S.view(below), V.reshape(below)


def endless_attention_weights(params: Params) -> tuple[Tensor, ...]:
    """Return S and V of the embedded input, with E folded in, and S and V of the states."""
    E, V = params["E"], params["V"]
    S = symmetric(params["Q"], params["K"])  # (R, H, H)
    return torch.bmm(E.mT, torch.bmm(S, E)), torch.bmm(V, E), S, V


def biased_weights(params: Params) -> tuple[Tensor, ...]:
    """Return the input's matrix with the biases as its last column, and the state's matrix."""
    bias = params["bias_ih"] + params["bias_hh"]
    return torch.cat([params["weight_ih"], bias[..., None]], -1), params["weight_hh"]


def _elman(forward: Callable[..., None], backward: Callable[..., None]) -> ClosedForm:
    return ClosedForm(
        forward,
        backward,
        biased_weights,
        kept=lambda T, I, H, K: [(1, 1)],
        scratch=lambda T, I, H, K: [(T, H)],
        ones=True,
    )


FORMS: dict[str, ClosedForm] = {
    "gated_rnn": ClosedForm(
        gated_rnn.forward,
        gated_rnn.backward,
        gated_weights,
        kept=lambda T, I, H, K: [(T, H), (T, H)],
        scratch=lambda T, I, H, K: [(1, 1)],
    ),
    "attn_rnn": ClosedForm(
        attn_rnn.forward,
        attn_rnn.backward,
        attention_weights,
        kept=lambda T, I, H, K: [
            (T, 1 + K),
            (T, K),
            (T, K * H),
            (T, K * H),
            (T, H),
            (1, I),
        ],
        scratch=lambda T, I, H, K: [(T, 1 + K), (T, H), (T, I)],
    ),
    "attn_rnn_inf": ClosedForm(
        attn_rnn_inf.forward,
        attn_rnn_inf.backward,
        endless_attention_weights,
        kept=lambda T, I, H, K: [(T, 4), (T, H), (T, H), (T, H), (1, I), (1, H)],
        scratch=lambda T, I, H, K: [(T, I), (1, H)],
    ),
    "rnn": _elman(rnn.forward_tanh, rnn.backward_tanh),
    "rnn_relu": _elman(rnn.forward_relu, rnn.backward_relu),
    "rnn_sigmoid": _elman(rnn.forward_sigmoid, rnn.backward_sigmoid),
    "lstm": ClosedForm(
        lstm.forward,
        lstm.backward,
        biased_weights,
        kept=lambda T, I, H, K: [(T, 4 * H), (T + 1, H), (T, H)],
        scratch=lambda T, I, H, K: [(1, H)],
        ones=True,
    ),
}
"""The closed forms, by :func:`name_of`."""


def form_of(options: Any) -> ClosedForm | None:
    """Return the closed form of a model; None for a user's cell.

    Args:
        options: the ``model`` section of the config.
    """
    return FORMS.get(name_of(options))


def name_of(options: Any) -> str:
    """Return the name of a model's form; an Elman RNN has one form for each activation.

    Args:
        options: the ``model`` section of the config.
    """
    nonlinearity = getattr(options, "nonlinearity", "tanh")
    return f"{options.name}_{nonlinearity}" if nonlinearity != "tanh" else str(options.name)
