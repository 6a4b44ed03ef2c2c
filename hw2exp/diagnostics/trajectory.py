"""Record the path of a cell through its states, to differentiate along it."""

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hw2exp.models.axes import Params
from hw2exp.models.cell import Carry, Cell, Inputs, prepare
from hw2exp.models.normalization import NormPass

NO_NORM = NormPass()


@dataclass(frozen=True)
class Trajectory:
    """The states and carries of a cell over a sequence.

    Args:
        cell: the cell.
        x: input vectors, ``(R, T, B, I)``.
        params: the detached parameters, and the tensors that ``prepare`` derived from them.
        norm: the normalization, before its first time step.
        inputs: the output of ``project`` for the input vectors, each ``(R, T, B, ·)``.
        states: h[1] … h[T], each ``(R, B, H)``.
        carries: the carry into each step, and out of the last; T + 1 carries.
    """

    cell: Cell
    x: Tensor
    params: Params
    norm: NormPass
    inputs: Inputs
    states: list[Tensor]
    carries: list[Carry]

    def inputs_at(self, t: int) -> Inputs:
        """Return the inputs of a time step, from 0, each ``(R, B, ·)``."""
        return tuple(term[:, t] for term in self.inputs)

    def norm_at(self, t: int) -> NormPass:
        """Return the normalization at a time step, from 0."""
        return copy(self.norm).at(t)  # a pass remembers its time step

    def recorded(self, copies: int = 1) -> "Trajectory":
        """Return the trajectory without its autograd graph; require a carry of constant shape.

        Args:
            copies: the number of adjacent copies of each sequence, of which one is kept.

        Raises:
            ValueError: the carry changes its shape.
        """
        if len({tuple(part.shape for part in carry) for carry in self.carries}) > 1:
            name = type(self.cell).__name__
            raise ValueError(f"{name}: what a step hands on changes its shape")
        return replace(
            self,
            x=self.x[:, :, ::copies],
            inputs=tuple(term[:, :, ::copies] for term in self.inputs),
            states=[state.detach()[:, ::copies] for state in self.states],
            carries=[tuple(p.detach()[:, ::copies] for p in carry) for carry in self.carries],
        )


def trajectory(cell: Cell, params: Params, x: Tensor, norm_pass: NormPass) -> Trajectory:
    """Run a cell over a sequence; if autograd is on, record the graph from the start carry on.

    Args:
        cell: the cell.
        params: its parameters, each ``(R, ...)``.
        x: input vectors, ``(R, T, B, I)``.
        norm_pass: a normalization before its first time step; left unchanged.
    """
    R, T, B, _ = x.shape
    detached = {name: value.detach() for name, value in params.items()}
    params = prepare(cell, detached, norm_pass)
    run = Trajectory(cell, x, params, norm_pass, cell.project(params, x, norm_pass), [], [])
    zeros = x.new_zeros(R, B, cell.hidden_size, requires_grad=torch.is_grad_enabled())
    run.carries.append(cell.start(params, zeros))
    for t in range(T):
        state, carry = cell.step(params, run.inputs_at(t), run.carries[-1], run.norm_at(t))
        run.states.append(state)
        run.carries.append(carry)
    return run


def leaves(tensors: Iterable[Tensor]) -> Carry:
    """Detach tensors, and make the floating-point ones leaves of autograd."""
    return tuple(
        part.detach().requires_grad_() if part.is_floating_point() else part for part in tensors
    )
