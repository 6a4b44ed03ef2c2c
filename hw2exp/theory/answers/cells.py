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
from hw2exp.theory.answers.deviation import DTYPE

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


NO_NORM = NoNorm().forward({}, {}, {}, training=False)
