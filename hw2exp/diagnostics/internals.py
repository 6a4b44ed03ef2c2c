"""Measure a network's internals: its gates, its attention, the size of its logits."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hw2exp.models.axes import Params
from hw2exp.models.cell import GATE, SCORES, prepare, product, run
from hw2exp.models.classifier import Classifier

SATURATED = 0.05
"""The distance from 0 or 1 below which a gate is saturated."""


@dataclass(frozen=True)
class Internals:
    """Means over the sequences of a batch and their time steps, without the padding.

    Args:
        logit_size: root of the mean square of the readout's logits, ``(R,)``.
        gate_mean: share of the state that stays: c of the gated RNN, f of the LSTM, ``(R,)``.
        gate_saturated: share of gates that are nearly open or shut, ``(R,)``.
        attention: weight of the input, then of the state at each lag, ``(R, 1 + K)``.
        attention_entropy: -Σ a ln a, in nats, ``(R,)``.
        score_size: the largest size of a score before the softargmax, ``(R,)``.
    """

    logit_size: Tensor
    gate_mean: Tensor | None = None
    gate_saturated: Tensor | None = None
    attention: Tensor | None = None
    attention_entropy: Tensor | None = None
    score_size: Tensor | None = None


@torch.no_grad()
def internals(model: Classifier, params: Params, symbols: Tensor) -> Internals:
    """Run forward by the equations, and measure the cell's gates, attention and logits.

    Args:
        model: the model.
        params: its parameters, each ``(R, ...)``.
        symbols: indices, ``(R, B, T)``.
    """
    cell = model.cell
    x = model.input_vectors(symbols, params["readout_weight"].dtype)  # (R, T, B, I)
    norm = model.normalization.forward(params, cell.terms())
    prepared = prepare(cell, params, norm)
    seen = run(cell, prepared, x, norm)
    decided = cell.decisions(prepared, seen, norm)
    logits = product(params["readout_weight"], seen.states[-1], params["readout_bias"])
    own: dict[str, Tensor] = {"logit_size": logits.double().square().flatten(1).mean(1).sqrt()}
    within = (symbols != cell.input_size).double()  # (R, B, T)
    if (gate := decided.get(GATE)) is not None:
        shut_or_open = (gate < SATURATED) | (gate > 1 - SATURATED)
        own["gate_mean"] = _mean(gate.double().mean(-1), within)
        own["gate_saturated"] = _mean(shut_or_open.double().mean(-1), within)
    if (scores := decided.get(SCORES)) is not None:
        a = torch.softmax(scores.double(), -1)  # (R, B, T, 1+K)
        own["attention"] = torch.stack([_mean(lag, within) for lag in a.unbind(-1)], 1)
        own["attention_entropy"] = _mean(-torch.xlogy(a, a).sum(-1), within)
        there = torch.where(scores == -torch.inf, 0, scores)
        own["score_size"] = there.abs().flatten(1).amax(1).double()
    return Internals(**own)


def _mean(values: Tensor, within: Tensor) -> Tensor:
    """Return the mean of ``(R, B, T)`` without the padding, ``(R,)``."""
    return (values * within).flatten(1).sum(1) / within.flatten(1).sum(1)
