"""Measure how a perturbation of the state grows in one time step, and over a sequence.

A cell must compute its carry from the state that it returns. The carry must be tensors
``(R, B, ...)`` of the same shapes at every step. A normalization must treat each sequence by
itself: a batch norm must use population statistics.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hw2exp.diagnostics.all_steps import AllSteps
from hw2exp.diagnostics.gradient_reach import jacobians_along, of_copies, spectral_norms
from hw2exp.diagnostics.lyapunov import largest_exponents
from hw2exp.models.axes import Params, State
from hw2exp.models.classifier import Classifier


@dataclass(frozen=True)
class JacobianGrowth:
    """The growth of perturbations in a fleet, on a few sequences.

    Args:
        step: the largest singular value of ∂h[t]/∂h[t-1], a column for each t = 2 … T; the
            geometric mean over the sequences, ``(R, T-1)``.
        product: the same for ∂h[T]/∂h[t], a column for each t = 1 … T-1, ``(R, T-1)``. This is the
            product of the former Jacobians if the carry is the state alone; else it includes the
            paths through all lags.
        exponent: the largest Lyapunov exponent, as natural logarithm per time step: the mean over
            the sequences and over several start directions, ``(R,)``.
        spread: the largest distance of a direction's exponent from this mean, ``(R,)``; the sign of
            an exponent is unknown unless its size exceeds the spread.
    """

    step: Tensor
    product: Tensor
    exponent: Tensor
    spread: Tensor


def jacobian_growth(
    model: Classifier, params: Params, symbols: Tensor, statistics: State | None = None
) -> JacobianGrowth:
    """Measure the growth of perturbations; infinite where a value is not finite.

    Args:
        model: the classifier.
        params: its parameters, each ``(R, ...)``.
        symbols: indices of a few sequences, ``(R, B, T)``.
        statistics: population statistics for a batch norm, each ``(R, T, *features)``.

    Raises:
        ValueError: the carry changes its shape.
    """
    params = {name: value.detach() for name, value in params.items()}
    x = model.input_vectors(symbols, params["readout_weight"].dtype)
    norm_pass = model.normalization.forward(params, model.cell.terms(), statistics)
    copies = of_copies(model.cell, params, x, norm_pass)
    run = copies.recorded(model.cell.hidden_size)
    product = jacobians_along(copies)  # frees the autograd graph
    step = AllSteps(run).state_jacobians()
    each = _mean(largest_exponents(run))  # (R, n)
    exponent = _mean(each)
    apart = torch.where(each == exponent[:, None], 0, (each - exponent[:, None]).abs())  # (R, n)
    return JacobianGrowth(
        step=_geometric_mean(step),
        product=_geometric_mean(product),
        exponent=exponent,
        spread=torch.where(exponent.isposinf(), torch.inf, apart.amax(1)),
    )


def _geometric_mean(jacobians: Tensor) -> Tensor:
    """Return the geometric mean of the spectral norms over the sequences, ``(R, T-1)``."""
    norms = spectral_norms(jacobians)  # (R, B, T-1)
    return torch.where(norms.isinf().any(1), torch.inf, _mean(norms.log()).exp())


def _mean(values: Tensor) -> Tensor:
    """Return the mean over the second axis, summed in the same order alone and in a fleet."""
    total: Tensor = sum(values.unbind(1), values.new_zeros(()))
    return total / values.shape[1]
