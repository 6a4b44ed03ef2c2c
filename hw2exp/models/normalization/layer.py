"""Layer normalization of a cell's terms, and of an attention cell's queries and keys alone."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hw2exp.models.axes import Params, State, columns
from hw2exp.models.normalization.protocol import (
    Gain,
    NormPass,
    Terms,
    gains_of,
    over,
    rescale,
)


def standardize(value: Tensor, eps: Tensor) -> Tensor:
    """Subtract the mean and divide by the deviation, along the last axis.

    Args:
        value: ``(R, ...)``.
        eps: added to the variance, ``(R,)``.

    Source: Ba, Kiros & Hinton 2016, eq. 3.
    """
    variance, mean = torch.var_mean(value, -1, correction=0, keepdim=True)
    return (value - mean) * (variance + columns(eps, value)).rsqrt()


@dataclass(frozen=True)
class LayerNorm:
    """Layer normalization of each term by itself (Ba, Kiros & Hinton 2016, eq. 4).

    Args:
        gamma: initial gain, ``(R,)``.
        eps: added to the variance, ``(R,)``.
    """

    over_batch: ClassVar[bool] = False
    gamma: Tensor
    eps: Tensor

    def gains(self, terms: Terms) -> dict[str, Gain]:
        """Return a gain for each feature of every term."""
        return gains_of(terms, self.gamma)

    def forward(self, params: Params, terms: Terms, statistics: State | None = None) -> NormPass:
        """Begin a pass."""
        return _LayerPass(self.eps, params, terms)


@dataclass(frozen=True)
class _LayerPass(NormPass):
    eps: Tensor
    params: Params
    terms: Terms

    def __call__(self, term: str, value: Tensor) -> Tensor:
        axes = len(self.terms[term].shape)
        return rescale(self.params, term, standardize(value, self.eps), axes)


@dataclass(frozen=True)
class QKNorm:
    """Layer normalization of queries and keys alone (Dehghani et al. 2023, "ViT-22B", §2).

    The paper's factor 1/√H before the softargmax enters as the initial gains, H^(-1/4) each.

    Args:
        eps: added to the variance, ``(R,)``.
    """

    over_batch: ClassVar[bool] = False
    eps: Tensor

    def gains(self, terms: Terms) -> dict[str, Gain]:
        """Return a gain for each feature of every query and key."""
        return {
            f"gamma_{name}": Gain(
                (2, *term.shape[1:]), torch.full_like(self.eps, term.shape[-1] ** -0.25)
            )
            for name, term in terms.items()
            if term.attention
        }

    def forward(self, params: Params, terms: Terms, statistics: State | None = None) -> NormPass:
        """Begin a pass."""
        return _QKPass(self.eps, params, terms)


@dataclass(frozen=True)
class _QKPass(NormPass):
    eps: Tensor
    params: Params
    terms: Terms

    def __call__(self, term: str, value: Tensor) -> Tensor:
        if not self.terms[term].attention:
            return value
        axes = len(self.terms[term].shape)
        queries_keys, values = torch.tensor_split(value, (2,), dim=-axes)
        gamma = over(self.params[f"gamma_{term}"], queries_keys, axes)
        return torch.cat((gamma * standardize(queries_keys, self.eps), values), dim=-axes)
