"""What a normalization inside a recurrent cell is.

A cell names its *terms* (the input's product, the state's product, ...), and a normalization
decides what to do with each. Gains are parameters. A shift is one only where the cell asks for
it: everywhere else the cell's own bias serves (Cooijmans et al. 2016, after eq. 8), and a cell
without biases stays one.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from hw2exp.axes import Params, Shape, State


@dataclass(frozen=True)
class Features:
    """What a term looks like behind its batch axis.

    Args:
        shape: the term's trailing axes; the last one is what a layer norm reduces.
        attention: the first axis holds queries, keys and values.
        shift: the term has a learned shift, besides its gain.
    """

    shape: Shape
    attention: bool = False
    shift: bool = False


Terms = dict[str, Features]


@dataclass(frozen=True)
class Gain:
    """A parameter of a normalization, without its replica axis.

    Args:
        shape: one replica's.
        start: every entry's value at the start, ``(R,)``.
    """

    shape: Shape
    start: Tensor


class NormPass:
    """One forward pass through a normalization; this one leaves every term as it is."""

    def at(self, t: int) -> "NormPass":
        """Return the same pass, at a time step.

        Args:
            t: the time step, from 0.
        """
        return self

    def __call__(self, term: str, value: Tensor) -> Tensor:
        """Normalize a term.

        Args:
            term: its name.
            value: ``(R, B, *features)`` at a time step, ``(R, T, B, *features)`` before the first.
        """
        return value

    def statistics(self) -> State:
        """Return the batch statistics that this pass went by, each ``(R, T, *features)``."""
        return {}


class Norm(Protocol):
    """A kind of normalization, for all replicas of a fleet.

    Attributes:
        over_batch: it normalizes over the sequences of a batch, so that they depend on each other
            in training, and a test needs statistics that are given.
    """

    over_batch: ClassVar[bool]

    def gains(self, terms: Terms) -> dict[str, Gain]:
        """Return the parameters by name."""

    def forward(self, params: Params, terms: Terms, statistics: State | None = None) -> NormPass:
        """Begin a forward pass.

        Args:
            params: the parameters, each ``(R, ...)``.
            terms: the cell's terms.
            statistics: mean and variance to normalize by, each ``(R, T, *features)``; without,
                a normalization over the batch uses those of the batch.
        """


class NoNorm:
    """Every term stays as it is."""

    over_batch = False

    def gains(self, terms: Terms) -> dict[str, Gain]:
        """No parameters."""
        return {}

    def forward(self, params: Params, terms: Terms, statistics: State | None = None) -> NormPass:
        """Begin a pass that does nothing."""
        return NormPass()


def gains_of(terms: Terms, gamma: Tensor) -> dict[str, Gain]:
    """A gain for every term, and a shift for those that ask for one.

    Args:
        terms: the cell's terms.
        gamma: the gain at the start, ``(R,)``.
    """
    gains = {f"gamma_{name}": Gain(term.shape, gamma) for name, term in terms.items()}
    shifts = {
        f"beta_{name}": Gain(term.shape, gamma.new_zeros(gamma.shape))
        for name, term in terms.items()
        if term.shift
    }
    return gains | shifts


def rescale(params: Params, term: str, value: Tensor, axes: int) -> Tensor:
    """Apply a term's gain, and its shift where it has one.

    Args:
        params: the parameters, each ``(R, ...)``.
        term: the term's name.
        value: what was normalized, ``(R, ..., *features)``.
        axes: how many feature axes there are.
    """
    value = over(params[f"gamma_{term}"], value, axes) * value
    if f"beta_{term}" in params:
        value = value + over(params[f"beta_{term}"], value, axes)
    return value


def over(per_feature: Tensor, value: Tensor, axes: int) -> Tensor:
    """Line up ``(R, *features)`` with ``(R, ..., *features)``.

    Args:
        per_feature: ``(R, *features)``.
        value: the tensor to line up with.
        axes: how many feature axes there are.
    """
    middle = [1] * (value.dim() - 1 - axes)
    return per_feature.reshape(per_feature.shape[0], *middle, *per_feature.shape[1:])
