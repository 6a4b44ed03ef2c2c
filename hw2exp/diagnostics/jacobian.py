"""How a perturbation of the state grows from one time step to the next, and over a sequence.

A cell must compute what it hands on from the state that it returns, and hand on tensors
``(R, B, ...)`` whose shapes stay the same from the start on. A normalization must treat each
sequence by itself: a batch norm by statistics of the population.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hw2exp.axes import Params, State
from hw2exp.diagnostics.all_steps import AllSteps
from hw2exp.diagnostics.gradient_reach import jacobians_along, of_copies, spectral_norms
from hw2exp.diagnostics.lyapunov import largest_along
from hw2exp.diagnostics.trajectory import NO_NORM, record
from hw2exp.models.cell import Cell
from hw2exp.models.classifier import Classifier
from hw2exp.stabilizers.norm import NormPass


def step_jacobians(cell: Cell, params: Params, x: Tensor, norm_pass: NormPass = NO_NORM) -> Tensor:
    """∂h[t]/∂h[t-1] for t = 2 … T: the direct dependence, the rest of what is handed on held fixed.

    For an LSTM c[t-1] is held, for an AttentionRNN the older states (write-up, part 1.2.2 e).

    Args:
        cell: the cell.
        params: its parameters, each ``(R, ...)``.
        x: input vectors, ``(R, T, B, I)``.
        norm_pass: the normalization, at its beginning.

    Returns:
        ``(R, B, T-1, H, H)``.

    Raises:
        ValueError: what is handed on changes its shape.
    """
    return AllSteps(record(cell, params, x, norm_pass)).state_jacobians()


def carry_jacobians(cell: Cell, params: Params, x: Tensor, norm_pass: NormPass = NO_NORM) -> Tensor:
    """The derivative of all that step t hands on by all that step t-1 did, for t = 2 … T.

    Args:
        cell: the cell.
        params: its parameters, each ``(R, ...)``.
        x: input vectors, ``(R, T, B, I)``.
        norm_pass: the normalization, at its beginning.

    Returns:
        ``(R, B, T-1, S, S)`` for S numbers handed on, in the order of ``trajectory.numbers``.

    Raises:
        ValueError: what is handed on changes its shape.
    """
    return AllSteps(record(cell, params, x, norm_pass)).carry_rows().matrices()


@dataclass(frozen=True)
class JacobianGrowth:
    """How perturbations grow in a fleet, on a few sequences.

    Args:
        step: the largest singular value of ∂h[t]/∂h[t-1], a column for each t = 2 … T; the
            geometric mean over the sequences, ``(R, T-1)``.
        product: that of ∂h[T]/∂h[t], a column for each t = 1 … T-1, ``(R, T-1)``: of the product
            of the former where the state is all that is handed on, else through all lags.
        exponent: the largest Lyapunov exponent, the mean over the sequences and over several
            directions to start from, natural logarithm per time step, ``(R,)``.
        spread: how far the exponent from one of these directions lies from it, at most, ``(R,)``:
            an exponent that is not larger has no known sign.
    """

    step: Tensor
    product: Tensor
    exponent: Tensor
    spread: Tensor


def jacobian_growth(
    model: Classifier, params: Params, symbols: Tensor, statistics: State | None = None
) -> JacobianGrowth:
    """Look once at how perturbations grow; infinite where something is not finite.

    Args:
        model: the classifier.
        params: its parameters, each ``(R, ...)``.
        symbols: indices of a few sequences, ``(R, B, T)``.
        statistics: for a norm over the batch to go by, each ``(R, T, *features)``.
    """
    params = {name: value.detach() for name, value in params.items()}
    x = model.input_vectors(symbols, params["readout_weight"].dtype)
    norm_pass = model.norm.forward(params, model.cell.terms(), statistics)
    copies = of_copies(model.cell, params, x, norm_pass)
    run = copies.recorded(model.cell.hidden_size)
    product = jacobians_along(copies)  # frees the history
    step = AllSteps(run).state_jacobians()
    each = _mean(largest_along(run))  # (R, n)
    exponent = _mean(each)
    apart = torch.where(each == exponent[:, None], 0, (each - exponent[:, None]).abs())  # (R, n)
    return JacobianGrowth(
        step=_geometric_mean(step),
        product=_geometric_mean(product),
        exponent=exponent,
        spread=torch.where(exponent.isposinf(), torch.inf, apart.amax(1)),
    )


def _geometric_mean(jacobians: Tensor) -> Tensor:
    """Of the spectral norms, over the sequences, ``(R, T-1)``."""
    norms = spectral_norms(jacobians)  # (R, B, T-1)
    return torch.where(norms.isinf().any(1), torch.inf, _mean(norms.log()).exp())


def _mean(values: Tensor) -> Tensor:
    """Over the second axis, summed in the same order alone and in a fleet."""
    total: Tensor = sum(values.unbind(1), values.new_zeros(()))
    return total / values.shape[1]
