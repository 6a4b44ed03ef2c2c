"""Define the interface of a recurrent cell, and unroll a cell over time."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from hw2exp.models.axes import Params, Shape
from hw2exp.models.normalization import Gain, Matrices, Norm, NormPass, Terms
from hw2exp.system.lazy_torch import Tensor, torch

Role = Literal["input", "recurrent", "bias", "readout", "readout_bias", "own"]
Draw = Callable[[Params, Any], Tensor]
"""A function that draws a parameter in float32, from those drawn before it and a generator."""

Inputs = tuple[Tensor, ...]
Carry = tuple[Tensor, ...]

GATE, SCORES = "gate", "scores"
"""Names in :meth:`Cell.decisions`: the share of the state that is kept; the attention scores."""


@dataclass(frozen=True)
class Unrolled:
    """The inputs and states of all time steps of a pass, in lists of length T.

    Args:
        inputs: projected inputs of each step, each ``(R, B, ·)``.
        carries: carry into each step, from the step before.
        states: hidden state after each step, each ``(R, B, H)``.
    """

    inputs: list[Inputs]
    carries: list[Carry]
    states: list[Tensor]


@dataclass(frozen=True)
class Weight:
    """One parameter of a model, without its replica axis.

    Args:
        shape: ``(out, in)`` for a matrix, ``(out,)`` for a bias.
        role: role, which selects the initialization; ``own``: always by ``draw``, unscaled.
        fan: fan-in; torch's default draws from U(-1/√fan, 1/√fan).
        blocks: number of matrices stacked along the first axis.
        forget: entries that are the bias of a forget gate, if any.
        draw: the function that draws it in place of torch's default.
    """

    shape: Shape
    role: Role
    fan: int
    blocks: int = 1
    forget: slice | None = None
    draw: Draw | None = None

    @property
    def bound(self) -> float:
        """Return half the width of torch's default uniform distribution."""
        return 1 / math.sqrt(self.fan)


def linear(out_features: int, in_features: int, role: Role) -> Weight:
    """Describe a matrix that is initialized like the weight of ``torch.nn.Linear``."""
    return Weight((out_features, in_features), role, fan=in_features)


class Cell(ABC):
    """A recurrent cell, given by its equations; autograd differentiates them.

    In each method, ``params`` are the parameters, each ``(R, ...)``; after :meth:`prepare`, they
    include the tensors that it adds. ``norm`` is the normalization of the forward pass.

    Args:
        options: the ``model`` section of the config.
        input_size: size of an input vector, I.
    """

    def __init__(self, options: Any, input_size: int) -> None:
        self.options = options
        self.hidden_size: int = options.hidden_size
        self.input_size = input_size

    @abstractmethod
    def weights(self) -> dict[str, Weight]:
        """Return the cell's parameters by name, in the order of the random draws."""

    def terms(self) -> Terms:
        """Return the terms that a normalization may act on, by name; none by default."""
        return {}

    def heads(self) -> dict[tuple[str, str], slice]:
        """Return the heads of an attention; none by default.

        Returns:
            By the names of a head's query and key matrix, its columns of the scores that
            :meth:`decisions` returns.
        """
        return {}

    def matrices(self) -> Matrices:
        """Return the names of the matrices, and how many each parameter holds."""
        weights = self.weights().items()
        return {name: weight.blocks for name, weight in weights if len(weight.shape) == 2}

    def prepare(self, params: Params) -> Params:
        """Return the parameters and tensors derived from them; called once in a forward pass."""
        return params

    @abstractmethod
    def project(self, params: Params, x: Tensor, norm: NormPass) -> Inputs:
        """Compute all terms that depend on the input alone, for all time steps at once.

        From input vectors ``x``, ``(R, T, B, I)``, it makes tensors ``(R, T, B, ·)``.
        """

    @abstractmethod
    def start(self, params: Params, zeros: Tensor) -> Carry:
        """Return the carry into the first step, from a zero state ``(R, B, H)``."""

    @abstractmethod
    def step(
        self, params: Params, inputs: Inputs, carry: Carry, norm: NormPass
    ) -> tuple[Tensor, Carry]:
        """Advance by one time step.

        Args:
            params: the parameters from ``prepare``.
            inputs: this step's slice of the tensors from ``project``, each ``(R, B, ·)``.
            carry: the carry from the step before.
            norm: the normalization at this time step.

        Returns:
            The hidden state ``(R, B, H)`` and the carry into the next step.
        """

    def decisions(self, params: Params, seen: Unrolled, norm: NormPass) -> dict[str, Tensor]:
        """Return the gates or attention scores of every time step of a pass; none by default.

        Args:
            params: the parameters from ``prepare``.
            seen: the inputs, carries and states of the pass.
            norm: the normalization of the pass.

        Returns:
            ``gate``, the share of the state that is kept, ``(R, B, T, H)``, or ``scores``, the
            attention scores before the softargmax, ``(R, B, T, 1 + K)``: of the input, then of the
            state at each lag; -∞ where there is no such state.
        """
        return {}


def gains_of(cell: Cell, norm: Norm) -> dict[str, Gain]:
    """Return the parameters that a normalization adds to those of a cell, by name."""
    return norm.gains(cell.terms()) | norm.matrix_gains(cell.matrices())


def prepare(cell: Cell, params: Params, norm: NormPass) -> Params:
    """Return the parameters of a pass, for :func:`run` and for :meth:`Cell.step`."""
    return cell.prepare(norm.prepare(params))


def unroll(cell: Cell, params: Params, x: Tensor, norm: NormPass) -> list[Tensor]:
    """Run a cell over input vectors ``(R, T, B, I)``; return the T hidden states ``(R, B, H)``."""
    return run(cell, prepare(cell, params, norm), x, norm).states


def run(cell: Cell, params: Params, x: Tensor, norm: NormPass) -> Unrolled:
    """Run a cell over input vectors ``(R, T, B, I)``, and keep the inputs of every step.

    The parameters are those from :func:`prepare`.
    """
    replicas, _, batch_size, _ = x.shape
    inputs = [term.unbind(1) for term in cell.project(params, x, norm)]
    carry = cell.start(params, x.new_zeros(replicas, batch_size, cell.hidden_size))
    seen = Unrolled(list(zip(*inputs, strict=True)), [], [])
    for t, now in enumerate(seen.inputs):
        seen.carries.append(carry)
        state, carry = cell.step(params, now, carry, norm.at(t))
        seen.states.append(state)
    return seen


def product(weight: Tensor, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply each replica's vectors ``(R, ..., in)`` by its own matrix ``(R, out, in)``.

    A bias, ``(R, out)``, is added; the result is ``(R, ..., out)``.
    """
    vectors = x.flatten(1, -2) if x.dim() > 3 else x  # (R, N, in)
    if vectors.shape[1] == 1:
        # For a single vector of a single replica, MKL uses another routine than in a fleet, with
        # other rounding; with two vectors it does not.
        return product(weight, vectors.expand(-1, 2, -1), bias)[:, :1].reshape(*x.shape[:-1], -1)
    if bias is None:
        result = torch.bmm(vectors, weight.mT)  # (R, N, out)
    else:
        result = torch.baddbmm(bias[:, None], vectors, weight.mT)  # (R, N, out)
    return result.view(*x.shape[:-1], -1) if x.dim() > 3 else result


def sigmoid(x: Tensor) -> Tensor:
    """Compute σ(x) = (1 + tanh(x/2)) / 2, with the same bits alone and in a fleet.

    ``torch.sigmoid`` computes the last few elements of a tensor with a scalar routine that rounds
    differently from the vectorized one. Which elements are last depends on the number of replicas,
    so the last bits of a replica would differ between a run alone and a fleet. ``torch.tanh`` uses
    one routine for all elements.
    """
    return torch.add(torch.tanh(x * 0.5) * 0.5, 0.5)
