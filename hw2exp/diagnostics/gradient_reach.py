"""Measure how far back a gradient reaches: the norm of ∂h[T]/∂h[t] against the lag T − t."""

from collections.abc import Callable

import torch
from torch import Tensor

from hw2exp.diagnostics.trajectory import NO_NORM, Trajectory, trajectory
from hw2exp.models.axes import Params
from hw2exp.models.cell import Carry, Cell
from hw2exp.models.normalization import NormPass

Node = Callable[[Tensor, Carry], Tensor]
"""A function that picks the tensor to differentiate by, from a step's state and carry."""


def hidden_state(state: Tensor, carry: Carry) -> Tensor:
    """Return h[t]."""
    return state


def lstm_memory(state: Tensor, carry: Carry) -> Tensor:
    """Return c[t] of an LSTM."""
    return carry[1]


def state_jacobians(
    cell: Cell,
    params: Params,
    x: Tensor,
    node: Node = hidden_state,
    norm_pass: NormPass = NO_NORM,
) -> Tensor:
    """Return ∂h[T]/∂h[t] for every t < T: total derivatives, through all steps and lags between.

    A single backward pass makes all rows: each sequence is repeated H times, and copy i
    differentiates element i of h[T].

    Args:
        cell: the cell.
        params: its parameters, each ``(R, ...)``.
        x: input vectors, ``(R, T, B, I)``.
        node: the tensor to differentiate by.
        norm_pass: the normalization, before its first time step; must not use batch statistics.

    Returns:
        ``(R, B, T-1, H, H)``, from t = 1 on.
    """
    return jacobians_along(of_copies(cell, params, x, norm_pass), node)


def of_copies(cell: Cell, params: Params, x: Tensor, norm_pass: NormPass = NO_NORM) -> Trajectory:
    """Return the :func:`trajectory` of H copies of each sequence, with its autograd graph."""
    with torch.enable_grad():
        return trajectory(cell, params, x.repeat_interleave(cell.hidden_size, 2), norm_pass)


def jacobians_along(run: Trajectory, node: Node = hidden_state) -> Tensor:
    """Return the Jacobians of ``state_jacobians`` for a trajectory of copies.

    Args:
        run: a trajectory from ``of_copies``; its autograd graph is freed.
        node: the tensor to differentiate by.
    """
    with torch.enable_grad():
        nodes = [node(*step) for step in zip(run.states, run.carries[1:], strict=True)]
    last, size = run.states[-1], run.cell.hidden_size
    R, T, rows, _ = run.x.shape
    of_copy = torch.eye(size).to(last).repeat(rows // size, 1).expand_as(last)
    gradients = torch.autograd.grad(last, nodes[:-1], of_copy)  # (R, B H, H)
    return torch.stack(gradients, 1).view(R, T - 1, rows // size, size, size).transpose(1, 2)


def spectral_norms(matrices: Tensor) -> Tensor:
    """Return the largest singular value of matrices ``(..., H, H)``; ∞ for non-finite elements."""
    # AᵀA is faster than the SVD, and blurs only the small singular values.
    sound = matrices.isfinite().all(-1).all(-1)  # (...)
    finite = torch.where(sound[..., None, None], matrices, 0)
    scale = finite.abs().amax((-2, -1))  # (...), so that no square overflows or underflows
    scaled = finite / torch.where(scale > 0, scale, 1)[..., None, None]
    squares = torch.linalg.eigvalsh(scaled.mT @ scaled)[..., -1]
    return torch.where(sound, squares.clamp(min=0).sqrt() * scale, torch.inf)
