"""How far back a gradient reaches: the norm of ∂h[T]/∂h[t] against the lag T − t."""

from collections.abc import Callable

import torch
from torch import Tensor

from hw2exp.axes import Params
from hw2exp.diagnostics.trajectory import NO_NORM, Trajectory, trajectory
from hw2exp.models.cell import Carry, Cell
from hw2exp.stabilizers.norm import NormPass

Node = Callable[[Tensor, Carry], Tensor]
"""What of a step is differentiated by: its state, or something that it hands on."""


def hidden_state(state: Tensor, carry: Carry) -> Tensor:
    """h[t].

    Args:
        state: h[t].
        carry: what the step hands on.
    """
    return state


def lstm_memory(state: Tensor, carry: Carry) -> Tensor:
    """c[t] of an LSTM.

    Args:
        state: h[t].
        carry: h[t] and c[t].
    """
    return carry[1]


def state_jacobians(
    cell: Cell,
    params: Params,
    x: Tensor,
    node: Node = hidden_state,
    norm_pass: NormPass = NO_NORM,
) -> Tensor:
    """∂h[T]/∂h[t] for every t < T: total derivatives, through all steps and lags between.

    One pass back serves all rows of the matrices: each sequence is there H times, and of the copy
    i the element i of h[T] is differentiated.

    Args:
        cell: the cell.
        params: its parameters, each ``(R, ...)``.
        x: input vectors, ``(R, T, B, I)``.
        node: by what to differentiate.
        norm_pass: the normalization, at its beginning; not one by the batch's own statistics.

    Returns:
        ``(R, B, T-1, H, H)``, from t = 1 on.
    """
    return jacobians_along(of_copies(cell, params, x, norm_pass), node)


def of_copies(cell: Cell, params: Params, x: Tensor, norm_pass: NormPass = NO_NORM) -> Trajectory:
    """The trajectory, with its history, of H copies of each sequence.

    Args:
        cell: the cell.
        params: its parameters, each ``(R, ...)``.
        x: input vectors, ``(R, T, B, I)``.
        norm_pass: the normalization, at its beginning.
    """
    with torch.enable_grad():
        return trajectory(cell, params, x.repeat_interleave(cell.hidden_size, 2), norm_pass)


def jacobians_along(run: Trajectory, node: Node = hidden_state) -> Tensor:
    """As ``state_jacobians``.

    Args:
        run: what ``of_copies`` gave; afterwards its history is gone.
        node: by what to differentiate.
    """
    with torch.enable_grad():
        nodes = [node(*step) for step in zip(run.states, run.carries[1:], strict=True)]
    last, size = run.states[-1], run.cell.hidden_size
    R, T, rows, _ = run.x.shape
    of_copy = torch.eye(size).to(last).repeat(rows // size, 1).expand_as(last)
    gradients = torch.autograd.grad(last, nodes[:-1], of_copy)  # (R, B H, H)
    return torch.stack(gradients, 1).view(R, T - 1, rows // size, size, size).transpose(1, 2)


def singular_values(matrices: Tensor) -> Tensor:
    """The singular values of each matrix, largest first; infinite if an element is not finite.

    Args:
        matrices: ``(..., H, H)``.

    Returns:
        ``(..., H)``.
    """
    sound = matrices.isfinite().all(-1).all(-1)  # (...)
    values = torch.linalg.svdvals(torch.where(sound[..., None, None], matrices, 0))
    return torch.where(sound[..., None], values, torch.inf)


def spectral_norms(matrices: Tensor) -> Tensor:
    """The largest singular value of each matrix; infinite where an element is not finite.

    Args:
        matrices: ``(..., H, H)``.
    """
    # By AᵀA, which is faster than the SVD; what it blurs are the small singular values.
    sound = matrices.isfinite().all(-1).all(-1)  # (...)
    finite = torch.where(sound[..., None, None], matrices, 0)
    scale = finite.abs().amax((-2, -1))  # (...), so that no square leaves the range of numbers
    scaled = finite / torch.where(scale > 0, scale, 1)[..., None, None]
    squares = torch.linalg.eigvalsh(scaled.mT @ scaled)[..., -1]
    return torch.where(sound, squares.clamp(min=0).sqrt() * scale, torch.inf)
