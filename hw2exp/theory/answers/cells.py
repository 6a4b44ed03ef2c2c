"""What the answers on recurrent cells share: cells of random weights, and sequences."""

from functools import cache

import torch
from torch import Tensor

from hw2exp.axes import Params
from hw2exp.config.command_line import read
from hw2exp.models import CELLS
from hw2exp.models.cell import Cell, unroll
from hw2exp.stabilizers.norm import NoNorm
from hw2exp.task import PAD
from hw2exp.theory.answers.deviation import DTYPE, leaves

HIDDEN, STEPS = 6, 7
"""Sizes of the examples: m, and the length of a sequence."""


@cache
def cell(*overrides: str) -> Cell:
    """A small cell of the bench.

    Args:
        overrides: as for the command: ``model=attn_rnn``, ``model.lags=3``.
    """
    model = read([*overrides, f"model.hidden_size={HIDDEN}"]).jobs[0].config.model
    return CELLS[model.name](model, PAD)


def random_weights(of: Cell, seed: int) -> Params:
    """Random matrices of a cell, large enough that gates and attention are not flat.

    Args:
        of: the cell.
        seed: of the drawing.
    """
    generator = torch.Generator().manual_seed(seed)
    return {
        name: 2 * weight.bound * torch.randn(weight.shape, dtype=DTYPE, generator=generator)
        for name, weight in of.weights().items()
    }


def random_sequence(seed: int, size: int = PAD) -> list[Tensor]:
    """Random vectors x[1] … x[T].

    Args:
        seed: of the drawing.
        size: of each.
    """
    generator = torch.Generator().manual_seed(seed)
    return list(torch.randn(STEPS, size, dtype=DTYPE, generator=generator))


def unrolled(of: Cell, params: Params, x: list[Tensor]) -> list[Tensor]:
    """The states h[1] … h[T] as the bench's own definition makes them, each ``(1, 1, H)``.

    Args:
        of: the cell.
        params: its matrices.
        x: the inputs.
    """
    fleet = {name: value[None] for name, value in params.items()}
    return unroll(of, fleet, torch.stack(x)[None, :, None], NO_NORM)


def states(of: Cell, params: Params, x: list[Tensor]) -> list[Tensor]:
    """The same, each ``(H,)``.

    Args:
        of: the cell.
        params: its matrices.
        x: the inputs.
    """
    return [h[0, 0] for h in unrolled(of, params, x)]


def gated_step(params: Params, x: Tensor, h: Tensor) -> Tensor:
    """One step of the gated RNN that trains, from any state, ``(H,)``.

    Args:
        params: its matrices.
        x: the input, ``(I,)``.
        h: the state before, ``(H,)``.
    """
    of = cell("model=gated_rnn")
    fleet = {name: value[None] for name, value in params.items()}
    inputs = tuple(term[:, 0] for term in of.project(fleet, x[None, None, None], NO_NORM))
    after: Tensor = of.step(fleet, inputs, (h[None, None],), NO_NORM)[0]
    return after[0, 0]


def attention_step(lags: int, params: Params, x: Tensor, h: list[Tensor]) -> Tensor:
    """One step of the AttentionRNN(k) that trains, from any states, ``(H,)``.

    Args:
        lags: k.
        params: its matrices.
        x: the input, ``(I,)``.
        h: the states before, h[t-1] first; k at least, each ``(H,)``.
    """
    of = cell("model=attn_rnn", f"model.lags={lags}")
    fleet = of.prepare({name: value[None] for name, value in params.items()})
    inputs = tuple(term[:, 0] for term in of.project(fleet, x[None, None, None], NO_NORM))
    carry: tuple[Tensor, ...] = ()
    for state in h[:lags]:
        # What the step that made this state hands on.
        q, k, v = (fleet["QKV_lags"] @ state).view(1, 1, 3, lags, HIDDEN).unbind(2)
        carry += ((q * k).sum(-1), v)
    after: Tensor = of.step(fleet, inputs, carry, NO_NORM)[0]
    return after[0, 0]


def total_derivatives(
    of: Cell, params: Params, x: list[Tensor], own: list[Tensor]
) -> tuple[Tensor, ...]:
    """∂ℓ/∂h[t] for ℓ = Σ_t own[t]ᵀ h[t], by autograd, each ``(H,)``.

    Args:
        of: the cell.
        params: its matrices.
        x: the inputs.
        own: what the loss takes of each state, each ``(H,)``.
    """
    h = unrolled(of, leaves(params), x)
    return tuple(d[0, 0] for d in torch.autograd.grad(h, h, [o[None, None] for o in own]))


NO_NORM = NoNorm().forward({}, {})
