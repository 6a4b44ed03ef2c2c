"""Measure the deviation between two results."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

DTYPE = torch.float64

Pairs = list[tuple[Tensor, Tensor]]


def worst(values: Iterable[float]) -> float:
    """Return the largest value; NaN if any is NaN or there are none, so that the check fails."""
    known = list(values)
    return max(known) if known and not any(map(math.isnan, known)) else math.nan


def deviation(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Return the largest difference within the pairs, relative where numbers exceed 1.

    The result is NaN if a difference is, if a pair's shapes differ, or if there are no pairs.
    """
    return worst(_difference(mine, other) for mine, other in pairs)


def _difference(mine: Tensor, other: Tensor) -> float:
    if mine.shape != other.shape:
        return math.nan
    return float((mine - other).abs().max()) / max(1.0, float(other.abs().max()))


def jacobians(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return torch's Jacobians of a function with respect to each of its inputs.

    Args:
        function: the function of all inputs.
        inputs: the inputs' values.
    """
    judge: Any = torch.autograd.functional.jacobian
    result: tuple[Tensor, ...] = judge(function, tuple(inputs))
    return result


def leaves(params: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy parameters into leaves that require a gradient."""
    return {name: value.detach().clone().requires_grad_() for name, value in params.items()}
