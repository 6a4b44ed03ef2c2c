"""The protocol of a recurrent cell, and how a cell is unrolled over time."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from hw2exp.axes import Params, Shape
from hw2exp.stabilizers.norm import NormPass, Terms

Role = Literal["input", "recurrent", "bias", "readout", "readout_bias"]
Inputs = tuple[Tensor, ...]
Carry = tuple[Tensor, ...]

GATE, SCORES = "gate", "scores"
"""What a cell may decide by: how much of its state stays; the scores of its attention."""


@dataclass(frozen=True)
class Unrolled:
    """What happened at every time step of a pass, in lists of length T.

    Args:
        inputs: what the step was given.
        carries: what the step before had handed on.
        states: the hidden state after the step, each ``(R, B, H)``.
    """

    inputs: list[Inputs]
    carries: list[Carry]
    states: list[Tensor]


@dataclass(frozen=True)
class Weight:
    """One parameter of a model, without its replica axis.

    Args:
        shape: ``(out, in)`` for a matrix, ``(out,)`` for a bias.
        role: what the initialization goes by.
        fan: torch's default draws from U(-1/√fan, 1/√fan).
        blocks: matrices that are stacked in this one, along the first axis.
        forget: which entries, if any, are the bias of a forget gate.
    """

    shape: Shape
    role: Role
    fan: int
    blocks: int = 1
    forget: slice | None = None

    @property
    def bound(self) -> float:
        """Half the width of torch's default uniform distribution."""
        return 1 / math.sqrt(self.fan)


def linear(out_features: int, in_features: int, role: Role) -> Weight:
    """A matrix that starts as the weight of ``torch.nn.Linear``.

    Args:
        out_features: rows.
        in_features: columns.
        role: what the initialization goes by.
    """
    return Weight((out_features, in_features), role, fan=in_features)


class Cell(ABC):
    """A recurrent cell as its equations; autograd unrolls them.

    Args:
        options: the model's section of the config.
        input_size: size of an input vector, I.
    """

    def __init__(self, options: Any, input_size: int) -> None:
        self.options = options
        self.hidden_size: int = options.hidden_size
        self.input_size = input_size

    @abstractmethod
    def weights(self) -> dict[str, Weight]:
        """The cell's parameters by name, in the order in which they are drawn."""

    def terms(self) -> Terms:
        """The terms that a normalization may act on, by name; none by default."""
        return {}

    def prepare(self, params: Params) -> Params:
        """Derive from the parameters, once a forward pass, what every time step uses.

        Args:
            params: the parameters, each ``(R, ...)``.

        Returns:
            The same parameters and what was added to them.
        """
        return params

    @abstractmethod
    def project(self, params: Params, x: Tensor, norm: NormPass) -> Inputs:
        """Compute what depends on the input alone, for all time steps in one product.

        Args:
            params: the parameters, each ``(R, ...)``.
            x: input vectors, ``(R, T, B, I)``.
            norm: the normalization of this forward pass.

        Returns:
            Tensors ``(R, T, B, ·)``.
        """

    @abstractmethod
    def start(self, params: Params, zeros: Tensor) -> Carry:
        """Make what is carried into the first step.

        Args:
            params: the parameters, each ``(R, ...)``.
            zeros: a zero state, ``(R, B, H)``.
        """

    @abstractmethod
    def step(
        self, params: Params, inputs: Inputs, carry: Carry, norm: NormPass
    ) -> tuple[Tensor, Carry]:
        """Advance by one time step.

        Args:
            params: the parameters, each ``(R, ...)``.
            inputs: this step's part of what ``project`` returned, each ``(R, B, ·)``.
            carry: what the step before handed on.
            norm: the normalization of this forward pass, at this time step.

        Returns:
            The hidden state ``(R, B, H)`` and what is handed on.
        """

    def decisions(self, params: Params, seen: Unrolled, norm: NormPass) -> dict[str, Tensor]:
        """What the cell decided by at every time step; nothing by default.

        Args:
            params: what ``prepare`` gave.
            seen: a pass.
            norm: the normalization of that pass.

        Returns:
            ``gate``, the share of the state that stays, ``(R, B, T, H)``, or ``scores`` of the
            attention before the softargmax, ``(R, B, T, 1 + K)``: of the input, then of the state
            at each lag; -∞ where there is none.
        """
        return {}


def unroll(cell: Cell, params: Params, x: Tensor, norm: NormPass) -> list[Tensor]:
    """Run a cell over a sequence.

    Args:
        cell: the cell.
        params: its parameters, each ``(R, ...)``.
        x: input vectors, ``(R, T, B, I)``.
        norm: the normalization of this forward pass.

    Returns:
        The hidden state of every time step, T tensors ``(R, B, H)``.
    """
    return run(cell, cell.prepare(params), x, norm).states


def run(cell: Cell, params: Params, x: Tensor, norm: NormPass) -> Unrolled:
    """Run a cell over a sequence, and keep what every step was given.

    Args:
        cell: the cell.
        params: what its ``prepare`` gave.
        x: input vectors, ``(R, T, B, I)``.
        norm: the normalization of this forward pass.
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
    """Multiply each replica's vectors by its own matrix.

    Args:
        weight: ``(R, out, in)``.
        x: vectors ``(R, ..., in)``.
        bias: ``(R, out)``, or nothing.

    Returns:
        ``(R, ..., out)``.
    """
    vectors = x.flatten(1, -2) if x.dim() > 3 else x  # (R, N, in)
    if vectors.shape[1] == 1:
        # A lone vector of a lone replica goes through another of MKL's routines than in a fleet,
        # which rounds differently; two vectors don't.
        return product(weight, vectors.expand(-1, 2, -1), bias)[:, :1].reshape(*x.shape[:-1], -1)
    if bias is None:
        result = torch.bmm(vectors, weight.mT)  # (R, N, out)
    else:
        result = torch.baddbmm(bias[:, None], vectors, weight.mT)  # (R, N, out)
    return result.view(*x.shape[:-1], -1) if x.dim() > 3 else result


def sigmoid(x: Tensor) -> Tensor:
    """The logistic function, with the same bits alone and in a fleet: σ(x) = (1 + tanh(x/2)) / 2.

    ``torch.sigmoid`` computes the last few elements of a tensor by a scalar routine that rounds
    differently from its vectorized one. Which elements are last depends on how many replicas
    there are, so a replica alone would differ in its last bits from the same one in a fleet.
    ``torch.tanh`` has one routine for all.

    Args:
        x: any shape.
    """
    return torch.add(torch.tanh(x * 0.5) * 0.5, 0.5)
