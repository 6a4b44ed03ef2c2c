"""How far back a gradient reaches: the norm of ∂h[T]/∂h[t] against the lag T − t."""

from collections.abc import Callable

import torch
from torch import Tensor

from hw2exp.axes import Params
from hw2exp.models.cell import Carry, Cell
from hw2exp.stabilizers.norm import NoNorm

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


def state_jacobians(cell: Cell, params: Params, x: Tensor, node: Node = hidden_state) -> Tensor:
    """∂h[T]/∂h[t] for every t < T: total derivatives, through all steps and lags between.

    One pass back serves all rows of the matrices: each sequence is there H times, and of the copy
    i the element i of h[T] is differentiated.

    Args:
        cell: the cell.
        params: its parameters, each ``(R, ...)``.
        x: input vectors, ``(R, T, B, I)``.
        node: by what to differentiate.

    Returns:
        ``(R, B, T-1, H, H)``, from t = 1 on.
    """
    (R, T, B, _), H = x.shape, cell.hidden_size
    last, nodes = _unroll(cell, params, x.repeat_interleave(H, 2), node)  # (R, B H, H)
    of_copy = torch.eye(H, dtype=x.dtype, device=x.device).repeat(B, 1).expand(R, -1, -1)
    gradients = torch.autograd.grad(last, nodes[:-1], of_copy)
    return torch.stack(gradients, 1).view(R, T - 1, B, H, H).transpose(1, 2)


def _unroll(cell: Cell, params: Params, x: Tensor, node: Node) -> tuple[Tensor, list[Tensor]]:
    """The last state, and the nodes of all steps; autograd follows from the first state on."""
    norm = NoNorm().forward({}, {}, {}, training=False)
    params = cell.prepare({name: value.detach() for name, value in params.items()})
    inputs = [term.unbind(1) for term in cell.project(params, x, norm)]
    zeros = x.new_zeros(x.shape[0], x.shape[2], cell.hidden_size, requires_grad=True)
    carry, nodes = cell.start(params, zeros), []
    for now in zip(*inputs, strict=True):
        state, carry = cell.step(params, now, carry, norm)
        nodes.append(node(state, carry))
    return state, nodes


def spectral_norms(matrices: Tensor) -> Tensor:
    """The largest singular value of each matrix; infinite where an element is not finite.

    Args:
        matrices: ``(..., H, H)``.
    """
    sound = matrices.isfinite().all(-1).all(-1)  # (...)
    norms = torch.linalg.matrix_norm(torch.where(sound[..., None, None], matrices, 0), 2)
    return torch.where(sound, norms, torch.inf)
