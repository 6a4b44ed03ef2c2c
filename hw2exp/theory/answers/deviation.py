"""How far two results are apart."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

DTYPE = torch.float64

Pairs = list[tuple[Tensor, Tensor]]


def deviation(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The largest difference, relative where numbers exceed 1; NaN if a pair's shapes differ.

    Args:
        pairs: of tensors that should be equal.
    """
    largest = 0.0
    for mine, other in pairs:
        if mine.shape != other.shape:
            return float("nan")
        difference = float((mine - other).abs().max()) / max(1.0, float(other.abs().max()))
        if not difference <= largest:  # so that NaN stays
            largest = difference
    return largest


def jacobians(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Torch's Jacobians of a function by each input.

    Args:
        function: of all inputs.
        inputs: where it is evaluated.
    """
    judge: Any = torch.autograd.functional.jacobian
    result: tuple[Tensor, ...] = judge(function, tuple(inputs))
    return result


def leaves(params: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies that autograd takes gradients by.

    Args:
        params: by name.
    """
    return {name: value.detach().clone().requires_grad_() for name, value in params.items()}
