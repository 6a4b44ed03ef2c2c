"""The closed form of each cell with a norm: its kernels, their weights, and their arrays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from hw2exp.kernels.normed import attn_rnn, gated_rnn, lstm, rnn, standardize
from hw2exp.models.axes import Params
from hw2exp.system.kernel_cache import kernel_with

Shapes = Sequence[tuple[int, ...]]
Sizes = Callable[[int, int, int, int], Shapes]
"""A function from T G, G, H and K to the shapes of a form's arrays."""


@dataclass(frozen=True)
class Kind:
    """The kernels of a normalization.

    Args:
        learns: kernel that standardizes in training, with the batch's statistics.
        judges: kernel that standardizes in a test.
        back: backward kernel of ``learns``.
        together: sequences of a batch depend on each other.
        parts: number of standardized parts among queries, keys and values.
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
"""The kernels, by the norm's name."""


@dataclass(frozen=True)
class NormedForm:
    """A cell's kernels with a norm inside, and the description of their arguments.

    The kernels are as described in :class:`~hw2exp.kernels.forms.ClosedForm`, but for all groups of
    16 sequences, G, at once: arrays have T G instead of T rows. Forward also gets the statistics,
    mean and variance of each term ``(R, T, ·)``, and eps, which is added to the variance. Both get
    a mask ``(G, 16)``, zero in lanes without a sequence, and the count of the sequences.

    Args:
        module: module of the cell's kernels.
        weights: function from the parameters to the kernels' weights, each ``(R, ...)``; autograd
            differentiates it.
        terms: names of the standardized terms, in order.
        kept: shapes ``(·, rows)`` of the arrays that forward keeps for backward.
        scratch: shapes ``(·, rows)`` of backward's other arrays.
        constants: constants of this copy of the kernels, by name.
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
    """Return both matrices, the sum of the biases, and the gains."""
    bias = params["bias_ih"] + params["bias_hh"]
    gains = params["gamma_weight_ih"], params["gamma_weight_hh"]
    return params["weight_ih"], params["weight_hh"], bias, *gains


def lstm_weights(params: Params) -> tuple[Tensor, ...]:
    """Return the same weights as for the Elman RNN, then gain and shift of c."""
    return *elman_weights(params), params["gamma_c"], params["beta_c"]


def gated_weights(params: Params) -> tuple[Tensor, ...]:
    """Return the three matrices and their gains."""
    names = "W_x", "W_c", "W_h"
    return *(params[name] for name in names), *(params[f"gamma_{name}"] for name in names)


def attention_weights(params: Params) -> tuple[Tensor, ...]:
    """Return the matrices of the input, those of all lags stacked along the rows, and all gains."""
    lags = range(1, sum(name.startswith("Q_") for name in params))
    of_input = torch.cat([params[f"{name}_0"] for name in "QKV"], 1)  # (R, 3H, I)
    of_states = torch.cat([params[f"{name}_{i}"] for name in "QKV" for i in lags], 1)
    gains = []
    for name, matrices in (("gamma_x", of_input), ("gamma_h", of_states)):
        given = _vector(params, name)
        ones = given.new_ones(len(given), matrices.shape[1] - given.shape[1])  # rows without a gain
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
"""The closed forms, by the model's name."""


@cache
def kernels_of(name: str, kind: str) -> tuple[Any, Any, Any]:
    """Return a cell's kernels with a norm: forward to train, forward to test, backward.

    Args:
        name: name of the form.
        kind: name of the norm.
    """
    form, norm = FORMS[name], KINDS[kind]
    constants = {**dict(form.constants), "PARTS": norm.parts}
    return (
        kernel_with(form.module.forward, f"{name}_{kind}", normalize=norm.learns, **constants),
        kernel_with(form.module.forward, f"{name}_{kind}_test", normalize=norm.judges, **constants),
        kernel_with(form.module.backward, f"{name}_{kind}", normalize_back=norm.back, **constants),
    )
