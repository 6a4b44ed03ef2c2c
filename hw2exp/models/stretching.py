"""Move directions along a trajectory by the derivatives of a cell's steps, and measure the stretch.

The state of the dynamics is a cell's whole carry, which has S numbers for each sequence. Autograd
can differentiate everything here.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from hw2exp.models.axes import Params
from hw2exp.models.cell import Carry, Cell, Inputs
from hw2exp.models.normalization import NormPass

TRANSIENT = 5
"""The number of steps before growth is counted, in which directions turn to those that grow most.

A step leads from one symbol to the next, and none leads to the first symbol. So growth is counted
from the seventh symbol on."""


def floating(carry: Iterable[Tensor]) -> Carry:
    """Return the floating-point tensors of a carry, without counters and flags."""
    return tuple(part for part in carry if part.is_floating_point())


def numbers(carry: Carry) -> Tensor:
    """Concatenate a carry's floating-point tensors to a vector for each sequence, ``(R, B, S)``."""
    return torch.cat([part.flatten(2) for part in floating(carry)], -1)


def orthonormal_directions(size: int, count: int) -> Tensor:
    """Draw orthonormal directions, ``(S, n)``; the first ones don't depend on the count."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(size, generator=generator, dtype=torch.float64) for _ in range(count)]
    orthonormal: Tensor = torch.linalg.qr(torch.stack(drawn, 1))[0]
    return orthonormal


def moved(
    cell: Cell,
    params: Params,
    inputs: Inputs,
    carry: Carry,
    norm: NormPass,
    directions: Tensor,
    create_graph: bool = False,
) -> Tensor:
    """Return J D for the derivative J of a step and directions D ``(R, B, S, n)``.

    Each sequence is repeated n times, and Jᵀ u, which is linear in u, is differentiated by u along
    D. Torch's forward mode would need one pass, but its first use compiles for a second and warns.

    Args:
        cell: the cell.
        params: the parameters, see :func:`hw2exp.models.cell.prepare`.
        inputs: the step's inputs, each ``(R, B, ·)``.
        carry: the carry into the step.
        norm: the normalization at this time step; it must treat each sequence by itself.
        directions: n directions in columns.
        create_graph: whether the result is differentiable.
    """
    R, B, size, n = directions.shape
    with torch.enable_grad():
        before, now = _nodes(carry, n), _nodes(inputs, n)
        after = numbers(cell.step(params, now, before, norm)[1])  # (R, B n, S)
        u = torch.zeros_like(after, requires_grad=True)
        of = floating(before)
        back = numbers(torch.autograd.grad(after, of, u, create_graph=True, materialize_grads=True))
        along = directions.mT.reshape(R, B * n, size)
        (result,) = torch.autograd.grad(
            back, u, along, create_graph=create_graph, materialize_grads=True
        )
    return result.view(R, B, n, size).mT


def _nodes(tensors: Iterable[Tensor], copies: int) -> tuple[Tensor, ...]:
    """Repeat each sequence; make tensors that autograd doesn't know yet its leaves."""
    repeated = [tensor.repeat_interleave(copies, 1) for tensor in tensors]
    return tuple(
        each.requires_grad_() if each.is_floating_point() and not each.requires_grad else each
        for each in repeated
    )


def counted_steps(shown: Tensor, transient: int = TRANSIENT) -> Tensor:
    """Return which steps are counted, ``(R, T, B)``.

    The padding, the step onto the first symbol, and the ``transient`` steps after it (at most half
    of the steps between symbols) are not counted.

    Args:
        shown: which time steps show a symbol, ``(R, T, B)``.
        transient: the number of steps after the first symbol that are not counted.
    """
    begun = shown.cumsum(1) > 0
    begun = begun | ~begun[:, -1:]  # without symbols, nothing counts as padding
    age = begun.cumsum(1) - 1  # 0 at the first symbol
    return age > (age[:, -1:] // 2).clamp(max=transient)


def orthonormalized(directions: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormalize directions ``(R, B, S, n)``; return stretch factors ``(R, B, n)`` too."""
    orthonormal, factors = torch.linalg.qr(directions)
    return orthonormal, factors.diagonal(dim1=-2, dim2=-1)


def mean_growth(
    move: Callable[[int, Tensor], Tensor],
    directions: Tensor,
    counted: Tensor,
    orthonormalize: Callable[[Tensor], tuple[Tensor, Tensor]] = orthonormalized,
) -> Tensor:
    """Return the mean logarithms of the stretch factors of n directions, ``(R, B, n)`` in float64.

    The directions start at the state h[1]: before it, the maximum in AttentionRNN(∞) is -∞.

    Args:
        move: the function that moves directions ``(R, B, S, n)`` by a time step, from 1.
        directions: the first directions, ``(S, n)``.
        counted: which steps are counted, ``(R, T, B)``.
        orthonormalize: the function applied to moved directions, which returns new directions and
            their stretch factors.

    Returns:
        The means: -∞ where a direction is lost, ∞ where a value is not finite, NaN for a sequence
        of a single symbol.
    """
    R, T, B = counted.shape
    directions = directions.to(counted.device).expand(R, B, -1, -1)
    growth = [directions.new_ones(R, B, directions.shape[-1])]
    for t in range(1, T):
        directions, factors = orthonormalize(move(t, directions).double())
        growth.append(factors)
    stretched = torch.stack(growth, 1).abs()  # (R, T, B, n)
    # Not after the logarithm, whose gradient at 0 is not 0 times anything.
    logarithms = torch.where(counted[..., None], stretched, 1).log()
    # Sum one by one, in the same order alone and in a fleet.
    total: Tensor = sum(logarithms.unbind(1), torch.zeros_like(logarithms[:, 0]))
    mean = total / counted.sum(1)[..., None]
    infinite = ~stretched.isfinite().all(-1).all(1)  # (R, B)
    return torch.where(infinite[..., None], torch.inf, mean)
