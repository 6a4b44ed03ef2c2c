"""Define the interface of a normalization inside a recurrent cell.

A cell names its *terms* (the input's product, the state's product, ...), and a normalization
transforms each of them. Gains are parameters. Only a term that asks for a shift gets one: for other
terms, the cell's own bias is the shift (Cooijmans et al. 2016, after eq. 8), and a cell without
biases has none.
"""

from dataclasses import dataclass
from typing import ClassVar

from hw2exp.config.doors import register_norm
from hw2exp.models.axes import Params, Shape, State
from hw2exp.system.lazy_torch import Tensor


@dataclass(frozen=True)
class Features:
    """The feature axes of a term, after its batch axis.

    Args:
        shape: lengths of the feature axes; a layer norm reduces the last axis.
        attention: whether the first axis holds queries, keys and values.
        shift: whether the term has a learned shift besides its gain.
    """

    shape: Shape
    attention: bool = False
    shift: bool = False


Terms = dict[str, Features]

Matrices = dict[str, int]
"""A cell's matrices: how many are stacked along the first axis of each parameter."""


@dataclass(frozen=True)
class Gain:
    """A parameter of a normalization, without its replica axis.

    Args:
        shape: shape for one replica.
        start: initial value of every entry, ``(R,)``.
    """

    shape: Shape
    start: Tensor


class NormPass:
    """One forward pass through a normalization; this base class changes nothing."""

    def prepare(self, params: Params) -> Params:
        """Return the parameters that the cell uses in this pass; called once."""
        return params

    def at(self, t: int) -> "NormPass":
        """Return this pass at a time step, counted from 0."""
        return self

    def __call__(self, term: str, value: Tensor) -> Tensor:
        """Normalize a term.

        Args:
            term: the term's name.
            value: the term, ``(R, B, *features)`` at a time step, or ``(R, T, B, *features)`` for
                all time steps at once, before the first call of :meth:`at`.
        """
        return value

    def statistics(self) -> State:
        """Return the batch statistics of this pass, each ``(R, T, *features)``."""
        return {}


@dataclass
class GainPass(NormPass):
    """A forward pass of a normalization with a small number added to the variance, ``(R,)``."""

    eps: Tensor
    params: Params
    terms: Terms

    def axes(self, term: str) -> int:
        """Return the number of a term's feature axes."""
        return len(self.terms[term].shape)


@register_norm("none")
class Norm:
    """No normalization; base class of the kinds of normalization, for all replicas of a fleet."""

    over_batch: ClassVar[bool] = False
    """True if the norm takes statistics over the sequences of a batch. Then the sequences depend on
    each other in training, and a test needs given statistics."""

    population_sequences: int = 1024
    """The least number of training sequences for the statistics of a test."""

    def gains(self, terms: Terms) -> dict[str, Gain]:
        """Return the parameters for a cell's terms by name: none."""
        return {}

    def matrix_gains(self, matrices: Matrices) -> dict[str, Gain]:
        """Return the parameters for a cell's matrices by name: none."""
        return {}

    def forward(self, params: Params, terms: Terms, statistics: State | None = None) -> NormPass:
        """Begin a forward pass; this one changes nothing.

        Args:
            params: the parameters, each ``(R, ...)``.
            terms: the cell's terms.
            statistics: mean and variance for batch normalization, each ``(R, T, *features)``;
                None: those of the batch.
        """
        return NormPass()


def gains_of(terms: Terms, gamma: Tensor) -> dict[str, Gain]:
    """Return a gain for every term, and a shift for each term that asks for one.

    Args:
        terms: the cell's terms.
        gamma: initial gain, ``(R,)``.
    """
    gains = {f"gamma_{name}": Gain(term.shape, gamma) for name, term in terms.items()}
    shifts = {
        f"beta_{name}": Gain(term.shape, gamma.new_zeros(gamma.shape))
        for name, term in terms.items()
        if term.shift
    }
    return gains | shifts


def rescale(params: Params, term: str, value: Tensor, axes: int) -> Tensor:
    """Apply a term's gain, and its shift if it has one.

    Args:
        params: the parameters, each ``(R, ...)``.
        term: the term's name.
        value: the normalized term, ``(R, ..., *features)``.
        axes: number of feature axes.
    """
    value = over(params[f"gamma_{term}"], value, axes) * value
    if f"beta_{term}" in params:
        value = value + over(params[f"beta_{term}"], value, axes)
    return value


def over(per_feature: Tensor, value: Tensor, axes: int) -> Tensor:
    """Reshape ``(R, *features)`` so that it broadcasts with ``(R, ..., *features)``.

    Args:
        per_feature: one number per feature, ``(R, *features)``.
        value: the tensor to broadcast with.
        axes: number of feature axes.
    """
    middle = [1] * (value.dim() - 1 - axes)
    return per_feature.reshape(per_feature.shape[0], *middle, *per_feature.shape[1:])
