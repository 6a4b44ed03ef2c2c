"""Make cells, random weights and random sequences for the answers on recurrent cells.

Inputs are ``(I,)`` and states ``(H,)``, one sequence at a time; ``params`` are a cell's matrices.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from hw2exp.config.command_line import read
from hw2exp.config.registry import equations
from hw2exp.diagnostics.trajectory import NO_NORM
from hw2exp.kernels.loss import SequenceLoss
from hw2exp.models.axes import Params
from hw2exp.models.cell import Cell, unroll
from hw2exp.models.normalization import Norm
from hw2exp.tasks.temporal_order import CLASSES, PAD
from hw2exp.theory.answers.deviation import DTYPE, leaves

HIDDEN, STEPS = 6, 7
"""Sizes of the examples: m, and the length T of a sequence."""


@cache
def cell(*overrides: str) -> Cell:
    """Return a small cell of the bench, such as ``cell("model=attn_rnn", "model.lags=3")``."""
    model = read([*overrides, f"model.hidden_size={HIDDEN}"]).jobs[0].config.model
    made: Cell = equations("model", model.name)(model, PAD)
    return made


def random_weights(of: Cell, seed: int) -> Params:
    """Draw random matrices of a cell, large enough that gates and attention are not flat."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: 2 * weight.bound * torch.randn(weight.shape, dtype=DTYPE, generator=generator)
        for name, weight in of.weights().items()
    }


def random_sequence(seed: int, size: int = PAD) -> list[Tensor]:
    """Draw random vectors x[1] … x[T], each ``(size,)``."""
    generator = torch.Generator().manual_seed(seed)
    return list(torch.randn(STEPS, size, dtype=DTYPE, generator=generator))


def unrolled(of: Cell, params: Params, x: list[Tensor]) -> list[Tensor]:
    """Compute the states h[1] … h[T] by the bench's definition of the cell, each ``(1, 1, H)``."""
    fleet = {name: value[None] for name, value in params.items()}
    return unroll(of, fleet, torch.stack(x)[None, :, None], NO_NORM)


def states(of: Cell, params: Params, x: list[Tensor]) -> list[Tensor]:
    """Compute the states as :func:`unrolled`, each ``(H,)``."""
    return [h[0, 0] for h in unrolled(of, params, x)]


def gated_step(params: Params, x: Tensor, h: Tensor) -> Tensor:
    """Compute one step of the bench's gated RNN from any state, ``(H,)``."""
    of = cell("model=gated_rnn")
    fleet = {name: value[None] for name, value in params.items()}
    inputs = tuple(term[:, 0] for term in of.project(fleet, x[None, None, None], NO_NORM))
    after: Tensor = of.step(fleet, inputs, (h[None, None],), NO_NORM)[0]
    return after[0, 0]


def attention_step(lags: int, params: Params, x: Tensor, h: list[Tensor]) -> Tensor:
    """Compute one step of the bench's AttentionRNN(k) from any states, ``(H,)``.

    Args:
        lags: k.
        params: the cell's matrices.
        x: x[t], ``(I,)``.
        h: at least k states, h[t-1] first, each ``(H,)``.
    """
    of = cell("model=attn_rnn", f"model.lags={lags}")
    fleet = of.prepare({name: value[None] for name, value in params.items()})
    inputs = tuple(term[:, 0] for term in of.project(fleet, x[None, None, None], NO_NORM))
    carry: tuple[Tensor, ...] = ()
    for state in h[:lags]:
        # The step that computed this state carries on its scores and values.
        q, k, v = (fleet["QKV_lags"] @ state).view(1, 1, 3, lags, HIDDEN).unbind(2)
        carry += ((q * k).sum(-1), v)
    after: Tensor = of.step(fleet, inputs, carry, NO_NORM)[0]
    return after[0, 0]


def total_derivatives(
    of: Cell, params: Params, x: list[Tensor], own: list[Tensor]
) -> tuple[Tensor, ...]:
    """Return ∂ℓ/∂h[t] for ℓ = Σ_t own[t]ᵀ h[t], by autograd; own[t] and results are ``(H,)``."""
    h = unrolled(of, leaves(params), x)
    return tuple(d[0, 0] for d in torch.autograd.grad(h, h, [o[None, None] for o in own]))


Gradients = Callable[[Params, list[Tensor], Tensor], Params]
"""A function from matrices, inputs x[1] … x[T] and ∂ℓ/∂h[T] to the gradients of the matrices."""


def compiled_gradients(model: str, gradients: Gradients) -> list[tuple[Tensor, Tensor]]:
    """Return the theory's and the compiled gradient of every matrix, on a random sequence.

    Args:
        model: the override that chooses the model, such as ``model=gated_rnn``.
        gradients: the theory's function.
    """
    of = cell(model)
    params = random_weights(of, 3)
    generator = torch.Generator().manual_seed(5)
    symbols = torch.randint(0, PAD, (STEPS,), generator=generator, dtype=torch.uint8)
    label = torch.tensor(1, dtype=torch.uint8)
    readout = torch.randn(len(CLASSES), HIDDEN, dtype=DTYPE, generator=generator)

    loss = SequenceLoss(of, "none", Norm())
    loss.keeps_state_gradients = True
    free = leaves(params)
    fleet = {name: value[None] for name, value in free.items()}
    fleet |= {"readout_weight": readout[None], "readout_bias": readout.new_zeros(1, len(CLASSES))}
    mean, _ = loss.mean(fleet, symbols[None, None], label[None, None])
    judged = torch.autograd.grad(mean.sum(), list(free.values()))
    assert loss.state_gradients is not None
    upstream = loss.state_gradients[0, 0, -1]
    x = list(torch.eye(PAD, dtype=DTYPE)[symbols.long()])
    mine = gradients(params, x, upstream)
    return [(mine[name], other) for name, other in zip(free, judged, strict=True)]
