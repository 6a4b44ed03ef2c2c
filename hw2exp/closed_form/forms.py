"""Which closed form a cell has, what it is given, and which arrays it needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hw2exp.axes import Params, Shape
from hw2exp.closed_form import attn_rnn, attn_rnn_inf, gated_rnn, lstm, rnn

Shapes = list[Shape]
Sizes = Callable[[int, int, int, int], Shapes]
"""From T, I, H and K to the shapes that a form needs."""


@dataclass(frozen=True)
class ClosedForm:
    """A cell's kernels, and what they are called with.

    Args:
        forward: computes the states of 16 sequences.
        backward: computes ∂ℓ/∂h[t] for all t, and adds to the weights' gradients.
        weights: the kernels' weights from the cell's parameters, each ``(R, ·, ·)``; autograd
            takes a gradient from the former to the latter.
        kept: shapes ``(T, rows)`` of what forward keeps for backward; one at least.
        scratch: shapes ``(·, rows)`` of what backward needs besides; one at least.
        ones: a one stands below the input, which makes a bias a column of the weights.
    """

    forward: Callable[..., None]
    backward: Callable[..., None]
    weights: Callable[[Params], tuple[Tensor, ...]]
    kept: Sizes
    scratch: Sizes
    ones: bool = False


def gated_weights(params: Params) -> tuple[Tensor, ...]:
    """W_x, W_c and W_h as they are."""
    return params["W_x"], params["W_c"], params["W_h"]


def symmetric(query: Tensor, key: Tensor) -> Tensor:
    """S = QᵀK + KᵀQ, so that (Q h)ᵀ (K h) = ½ hᵀ S h.

    Args:
        query: Q, ``(N, H, I)``.
        key: K, ``(N, H, I)``.
    """
    form = torch.bmm(query.mT, key)  # (N, I, I)
    return form + form.mT


def attention_weights(params: Params) -> tuple[Tensor, ...]:
    """S and V of the input, and those of all lags one below the other."""
    lags = range(1, sum(name.startswith("Q_") for name in params))
    Q, K, V = (torch.stack([params[f"{name}_{i}"] for i in lags], 1) for name in "QKV")
    S = symmetric(Q.flatten(0, 1), K.flatten(0, 1))  # (R K, H, H)
    below = len(Q), -1, Q.shape[-1]
    S_0 = symmetric(params["Q_0"], params["K_0"])
    return S_0, params["V_0"], S.view(below), V.reshape(below)


def endless_attention_weights(params: Params) -> tuple[Tensor, ...]:
    """S and V, and the same for the input behind its embedding E."""
    E, V = params["E"], params["V"]
    S = symmetric(params["Q"], params["K"])  # (R, H, H)
    return torch.bmm(E.mT, torch.bmm(S, E)), torch.bmm(V, E), S, V


def biased_weights(params: Params) -> tuple[Tensor, ...]:
    """The input's matrix with the biases as its last column, and the state's."""
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
"""By the model's name."""


def form_of(options: Any) -> ClosedForm | None:
    """Find the closed form of a model; a cell that a user adds has none.

    Args:
        options: the model's section of the config.
    """
    return FORMS.get(name_of(options))


def name_of(options: Any) -> str:
    """The name of a model's form: an Elman RNN has one for each activation.

    Args:
        options: the model's section of the config.
    """
    nonlinearity = getattr(options, "nonlinearity", "tanh")
    return f"{options.name}_{nonlinearity}" if nonlinearity != "tanh" else str(options.name)
