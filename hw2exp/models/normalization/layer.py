"""Layer normalization of a cell's terms."""

from dataclasses import dataclass
from typing import Annotated

from hw2exp.config.doors import register_norm
from hw2exp.config.knob import per_replica
from hw2exp.models.axes import Params, State, columns
from hw2exp.models.normalization.protocol import (
    Gain,
    GainPass,
    Norm,
    NormPass,
    Terms,
    gains_of,
    rescale,
)
from hw2exp.system.lazy_torch import Tensor, torch


def standardize(value: Tensor, eps: Tensor) -> Tensor:
    """Subtract the mean and divide by the deviation, along the last axis.

    Args:
        value: ``(R, ...)``.
        eps: added to the variance, ``(R,)``.

    Source: Ba, Kiros & Hinton 2016, eq. 3.
    """
    variance, mean = torch.var_mean(value, -1, correction=0, keepdim=True)
    return (value - mean) * (variance + columns(eps, value)).rsqrt()


@register_norm("layer")
@dataclass(frozen=True)
class LayerNorm(Norm):
    """Layer normalization of each term by itself (Ba, Kiros & Hinton 2016, eq. 4).

    Args:
        gamma: initial gain, ``(R,)``.
        eps: added to the variance, ``(R,)``.
    """

    gamma: Annotated[Tensor, per_replica("gain at the start", gt=0)]
    eps: Annotated[Tensor, per_replica("added to the variance", gt=0)]

    def gains(self, terms: Terms) -> dict[str, Gain]:
        """Return a gain for each feature of every term."""
        return gains_of(terms, self.gamma)

    def forward(self, params: Params, terms: Terms, statistics: State | None = None) -> NormPass:
        """Begin a pass."""
        return _LayerPass(self.eps, params, terms)


class _LayerPass(GainPass):
    def __call__(self, term: str, value: Tensor) -> Tensor:
        return rescale(self.params, term, standardize(value, self.eps), self.axes(term))
