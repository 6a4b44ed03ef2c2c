"""Lyapunov exponents along a trajectory: at what rate neighboring states part or meet.

By the QR method: orthonormal directions are moved by the derivative of each step, and made
orthonormal again; the mean logarithms of what is divided by are the exponents. Source: Benettin et
al. 1980; for recurrent networks Engelken, Wolf & Abbott 2023, "Lyapunov spectra of chaotic
recurrent neural networks", Phys. Rev. Research 5, 043044.

The state is all that a step hands on. Where that says a thing twice, as in AttentionRNN(k), the
surplus exponents are -∞. AttentionRNN(∞) hands on sums over all states, which forget nothing:
its largest exponent is near zero or above. Its running maximum is differentiated as the cell does,
as a constant.
"""

import torch
from torch import Tensor

from hw2exp.axes import Params
from hw2exp.diagnostics.all_steps import AllSteps
from hw2exp.diagnostics.trajectory import NO_NORM, Trajectory, floating, leaves, numbers, record
from hw2exp.models.cell import Cell
from hw2exp.stabilizers.norm import NormPass

TRANSIENT = 5
"""Steps in which directions turn to where they grow most, before growth is counted.

A step leads from one symbol to the next. The first symbol ends none, so that growth is counted from
the seventh symbol on."""

STARTS = 5
"""Random directions from which the largest exponent is measured: in finite time each gives its own,
and where these differ in sign the sign is not known."""

FEW = 80
"""Numbers handed on, S, up to which Jacobians are made: larger ones take too long and much room."""


def lyapunov_exponent(
    cell: Cell,
    params: Params,
    x: Tensor,
    norm_pass: NormPass = NO_NORM,
    transient: int = TRANSIENT,
) -> Tensor:
    """Return the largest exponent of each sequence, from several directions, ``(R, B, n)``.

    The first is that of ``lyapunov_exponents``; n is ``STARTS``, or S if that is less.

    Args:
        cell: the cell.
        params: its parameters, each ``(R, ...)``.
        x: input vectors, ``(R, T, B, I)``.
        norm_pass: the normalization, at its beginning.
        transient: how many steps are not counted.
    """
    return largest_along(record(cell, params, x, norm_pass), transient)


def lyapunov_exponents(
    cell: Cell,
    params: Params,
    x: Tensor,
    norm_pass: NormPass = NO_NORM,
    transient: int = TRANSIENT,
    count: int | None = None,
) -> Tensor:
    """The finite-time exponents of each sequence, natural logarithm per time step.

    Padding is run through but not counted, nor is the step onto the first symbol, nor are the
    ``transient`` steps after it, at most half of the steps between symbols.

    Args:
        cell: the cell.
        params: its parameters, each ``(R, ...)``.
        x: input vectors, ``(R, T, B, I)``.
        norm_pass: the normalization, at its beginning; not one by the batch's own statistics.
        transient: how many steps are not counted.
        count: how many exponents, n; all S by default.

    Returns:
        ``(R, B, n)``, largest first but for finite time; -∞ where a direction is lost, ∞ where
        something is not finite, NaN of a sequence of a single symbol.

    Raises:
        ValueError: what is handed on changes its shape.
    """
    return exponents_along(record(cell, params, x, norm_pass), transient, count)


def exponents_along(
    run: Trajectory, transient: int = TRANSIENT, count: int | None = None
) -> Tensor:
    """As ``lyapunov_exponents``, of a trajectory that is recorded.

    Args:
        run: the trajectory.
        transient: how many steps are not counted.
        count: how many exponents, n; all S by default.
    """
    return _along_directions(run, transient, count or _size(run), apart=False)


def largest_along(run: Trajectory, transient: int = TRANSIENT) -> Tensor:
    """As ``lyapunov_exponent``, of a trajectory that is recorded.

    Args:
        run: the trajectory.
        transient: how many steps are not counted.
    """
    return _along_directions(run, transient, min(STARTS, _size(run)), apart=True)


def _size(run: Trajectory) -> int:
    """S."""
    return numbers(run.carries[1]).shape[-1]


def _along_directions(run: Trajectory, transient: int, n: int, apart: bool) -> Tensor:
    """The mean logarithms of what n directions are divided by, ``(R, B, n)``."""
    x = run.x
    (R, T, B, _), counted = x.shape, _counted(x, transient)  # (R, T, B)
    size = _size(run)
    steps = AllSteps(run).carry_rows() if size <= FEW else None
    directions = _directions(size, n).to(x.device).expand(R, B, -1, -1)
    growth = []
    # From the first state on: before, AttentionRNN(∞) has the maximum of nothing, -∞.
    for t in range(1, T):
        now = directions.to(x.dtype)  # (R, B, S, n)
        moved = steps.move(t, now) if steps is not None else _along(run, t, now)
        directions, factors = _orthonormal(moved.double(), apart)
        growth.append(factors)
    stretched = torch.stack([directions.new_ones(R, B, n), *growth], 1).abs()
    logarithms = torch.where(counted[..., None], stretched.log(), 0)  # (R, T, B, n)
    # One by one: summed in the same order alone and in a fleet.
    total: Tensor = sum(logarithms.unbind(1), torch.zeros_like(logarithms[:, 0]))
    mean = total / counted.sum(1)[..., None]
    infinite = ~stretched.isfinite().all(-1).all(1)  # (R, B)
    return torch.where(infinite[..., None], torch.inf, mean).to(x.dtype)


def _orthonormal(moved: Tensor, apart: bool) -> tuple[Tensor, Tensor]:
    """Directions ``(R, B, S, n)`` made orthonormal, or each of length 1; and the factors."""
    if apart:
        alone, lengths = torch.linalg.qr(moved.mT[..., None])  # (R, B, n, S, 1), (R, B, n, 1, 1)
        return alone[..., 0].mT, lengths[..., 0, 0]
    directions, factors = torch.linalg.qr(moved)
    return directions, factors.diagonal(dim1=-2, dim2=-1)


def _directions(size: int, count: int) -> Tensor:
    """Orthonormal ones that favor none; the first are the same for any count, ``(S, n)``."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(size, generator=generator, dtype=torch.float64) for _ in range(count)]
    orthonormal: Tensor = torch.linalg.qr(torch.stack(drawn, 1))[0]
    return orthonormal


def _along(run: Trajectory, t: int, directions: Tensor) -> Tensor:
    """J D for the derivative J of a step and directions D ``(R, B, S, n)``.

    Each sequence is there n times. Jᵀ u, which is linear in u, is differentiated by u along D:
    torch's forward mode would do it in one pass, but its first use compiles for a second and warns.
    """
    R, B, size, n = directions.shape
    before = leaves(part.repeat_interleave(n, 1) for part in run.carries[t])
    inputs = leaves(term.repeat_interleave(n, 1) for term in run.inputs_at(t))
    with torch.enable_grad():
        after = numbers(run.cell.step(run.params, inputs, before, run.norm_at(t))[1])  # (R, B n, S)
        u = torch.zeros_like(after, requires_grad=True)
        of = floating(before)
        back = numbers(torch.autograd.grad(after, of, u, create_graph=True, materialize_grads=True))
        along = directions.mT.reshape(R, B * n, size)
        (moved,) = torch.autograd.grad(back, u, along, materialize_grads=True)
    return moved.view(R, B, n, size).mT


def _counted(x: Tensor, transient: int) -> Tensor:
    """Which steps are counted, ``(R, T, B)``."""
    begun = (x != 0).any(-1).cumsum(1) > 0
    begun = begun | ~begun[:, -1:]  # without any symbol there is no padding either
    age = begun.cumsum(1) - 1  # 0 at the first symbol
    return age > (age[:, -1:] // 2).clamp(max=transient)
