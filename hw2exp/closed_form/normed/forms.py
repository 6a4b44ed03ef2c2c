"""Which closed form a cell with a norm has, what it is given, and which arrays it needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from hw2exp.axes import Params
from hw2exp.closed_form.normed import attn_rnn, gated_rnn, lstm, rnn, standardize
from hw2exp.kernel import kernel_with

Shapes = Sequence[tuple[int, ...]]
Sizes = Callable[[int, int, int, int], Shapes]
"""From T G, G, H and K to the shapes that a form needs."""


@dataclass(frozen=True)
class Kind:
    """A normalization's kernels.

    Args:
        learns: standardizes with the batch at hand.
        judges: standardizes where nothing is learned.
        back: the gradient of ``learns``.
        together: sequences depend on each other.
        parts: of queries, keys and values how many are standardized.
    """

    learns: Any
    judges: Any
    back: Any
    together: bool = False
    parts: int = 3


KINDS = {
    "layer": Kind(standardize.by_features, standardize.by_features, standardize.by_features_back),
    "qk": Kind(
        standardize.by_features, standardize.by_features, standardize.by_features_back, parts=2
    ),
    "batch": Kind(
        standardize.by_sequences,
        standardize.by_given_statistics,
        standardize.by_sequences_back,
        together=True,
    ),
}
"""By the norm's name."""


@dataclass(frozen=True)
class NormedForm:
    """A cell's kernels with a norm inside, and what they are called with.

    Args:
        module: of the cell's kernels.
        weights: the kernels' weights from the parameters, each ``(R, ...)``; autograd takes a
            gradient from the former to the latter.
        terms: the terms that are standardized, by name in their order.
        kept: shapes ``(·, rows)`` of what forward keeps for backward.
        scratch: shapes ``(·, rows)`` of what backward needs besides.
        constants: of this copy of the kernels, by name.
    """

    module: Any
    weights: Callable[[Params], tuple[Tensor, ...]]
    terms: tuple[str, ...]
    kept: Sizes
    scratch: Sizes
    constants: tuple[tuple[str, Any], ...] = ()


def _vector(params: Params, name: str) -> Tensor:
    return params[name].flatten(1)


def elman_weights(params: Params) -> tuple[Tensor, ...]:
    """Both matrices, the sum of the biases, the gains."""
    bias = params["bias_ih"] + params["bias_hh"]
    gains = params["gamma_weight_ih"], params["gamma_weight_hh"]
    return params["weight_ih"], params["weight_hh"], bias, *gains


def lstm_weights(params: Params) -> tuple[Tensor, ...]:
    """As of the Elman RNN; and gain and shift of c."""
    return *elman_weights(params), params["gamma_c"], params["beta_c"]


def gated_weights(params: Params) -> tuple[Tensor, ...]:
    """The three matrices and their gains."""
    names = "W_x", "W_c", "W_h"
    return *(params[name] for name in names), *(params[f"gamma_{name}"] for name in names)


def attention_weights(params: Params) -> tuple[Tensor, ...]:
    """The matrices of the input and of all lags one below the other, and all gains."""
    lags = range(1, sum(name.startswith("Q_") for name in params))
    of_input = torch.cat([params[f"{name}_0"] for name in "QKV"], 1)  # (R, 3H, I)
    of_states = torch.cat([params[f"{name}_{i}"] for name in "QKV" for i in lags], 1)
    gains = []
    for name, matrices in (("gamma_x", of_input), ("gamma_h", of_states)):
        given = _vector(params, name)
        ones = given.new_ones(len(given), matrices.shape[1] - given.shape[1])  # what has no gain
        gains.append(torch.cat([given, ones], 1))
    return of_input, of_states, *gains


def _elman(relu: bool) -> NormedForm:
    return NormedForm(
        rnn,
        elman_weights,
        ("weight_ih", "weight_hh"),
        kept=lambda N, G, H, K: [(N, H)] * 4,
        scratch=lambda N, G, H, K: [(N, H)] * 2 + [(H,)] * 3,
        constants=(("RELU", relu),),
    )


FORMS: dict[str, NormedForm] = {
    "rnn": _elman(relu=False),
    "rnn_relu": _elman(relu=True),
    "gated_rnn": NormedForm(
        gated_rnn,
        gated_weights,
        ("W_x", "W_c", "W_h"),
        kept=lambda N, G, H, K: [(N, H)] * 7,
        scratch=lambda N, G, H, K: [(N, H)] * 3 + [(H,)] * 3,
    ),
    "lstm": NormedForm(
        lstm,
        lstm_weights,
        ("weight_ih", "weight_hh", "c"),
        kept=lambda N, G, H, K: [(N, 4 * H)] * 4 + [(N, H)] * 2 + [(N, 4 * H), (N + G, H), (N, H)],
        scratch=lambda N, G, H, K: (
            [(N, 4 * H)] * 2 + [(N, H), (G, H)] + [(4 * H,)] * 3 + [(H,)] * 2
        ),
    ),
    "attn_rnn": NormedForm(
        attn_rnn,
        attention_weights,
        ("x", "h"),
        kept=lambda N, G, H, K: [(N, 3 * H)] * 3 + [(N, 3 * K * H)] * 3 + [(N, K), (N, 1 + K)],
        scratch=lambda N, G, H, K: [(N, 3 * H), (N, 3 * K * H), (3 * H,), (3 * K * H,)],
    ),
}
"""By the model's name."""


@cache
def kernels_of(name: str, kind: str) -> tuple[Any, Any, Any]:
    """Compile a cell's kernels with a norm: forward to learn, forward to judge, backward.

    Args:
        name: of the form.
        kind: the norm's name.
    """
    form, norm = FORMS[name], KINDS[kind]
    constants = {**dict(form.constants), "PARTS": norm.parts}
    return (
        kernel_with(form.module.forward, f"{name}_{kind}", normalize=norm.learns, **constants),
        kernel_with(form.module.forward, f"{name}_{kind}_test", normalize=norm.judges, **constants),
        kernel_with(form.module.backward, f"{name}_{kind}", normalize_back=norm.back, **constants),
    )
