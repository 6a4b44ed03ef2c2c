"""Measure Lyapunov exponents: the rates at which states near a trajectory part from it or meet it.

Use the QR method: move orthonormal directions by the derivative of each step, and orthonormalize
them again; the mean logarithms of the stretch factors are the exponents. Source: Benettin et
al. 1980; for recurrent networks Engelken, Wolf & Abbott 2023, "Lyapunov spectra of chaotic
recurrent neural networks", Phys. Rev. Research 5, 043044.

The state of the dynamics is the whole carry. Where the carry repeats itself, as in AttentionRNN(k),
the surplus exponents are -∞. AttentionRNN(∞) carries sums over all states, which forget nothing:
its largest exponent is near zero or above. Its running maximum is differentiated as a constant, as
in the cell.
"""

import torch
from torch import Tensor

from hw2exp.diagnostics.all_steps import AllSteps
from hw2exp.diagnostics.trajectory import Trajectory, floating, leaves, numbers

TRANSIENT = 5
"""Steps before growth is counted, in which directions turn to where they grow most.

A step leads from one symbol to the next, and none leads to the first symbol. So growth is counted
from the seventh symbol on."""

STARTS = 5
"""Random start directions for the largest exponent. In finite time each gives its own exponent; if
these differ in sign, the sign is unknown."""

FEW = 80
"""Largest size S of a carry to make Jacobians for: larger ones take too much time and memory."""


def lyapunov_exponents(
    run: Trajectory, transient: int = TRANSIENT, count: int | None = None
) -> Tensor:
    """Return the finite-time exponents of each sequence, natural logarithm per time step.

    Run through the padding, the step onto the first symbol, and the ``transient`` steps after it
    (at most half of the steps between symbols), but don't count them.

    Args:
        run: the recorded trajectory, without batch statistics.
        transient: the number of steps after the first symbol that are not counted.
        count: the number of exponents, n; by default S.

    Returns:
        ``(R, B, n)``, largest first up to finite-time effects; -∞ where a direction is lost, ∞
        where a value is not finite, NaN for a sequence of a single symbol.
    """
    return _along_directions(run, transient, count or _size(run), apart=False)


def largest_exponents(run: Trajectory, transient: int = TRANSIENT) -> Tensor:
    """Return the largest exponent of each sequence, from several start directions, ``(R, B, n)``.

    The first is the first of ``lyapunov_exponents``; n is ``STARTS``, or S if smaller.
    """
    return _along_directions(run, transient, min(STARTS, _size(run)), apart=True)


def _size(run: Trajectory) -> int:
    """Return S, the size of the carry."""
    return numbers(run.carries[1]).shape[-1]


def _along_directions(run: Trajectory, transient: int, n: int, apart: bool) -> Tensor:
    """Return the mean logarithms of the stretch factors of n directions, ``(R, B, n)``."""
    x = run.x
    (R, T, B, _), counted = x.shape, _counted(x, transient)  # (R, T, B)
    size = _size(run)
    steps = AllSteps(run).carry_rows() if size <= FEW else None
    directions = _directions(size, n).to(x.device).expand(R, B, -1, -1)
    growth = []
    # Begin at the first state: before, AttentionRNN(∞) has the maximum of nothing, -∞.
    for t in range(1, T):
        now = directions.to(x.dtype)  # (R, B, S, n)
        moved = steps.move(t, now) if steps is not None else _along(run, t, now)
        directions, factors = _orthonormal(moved.double(), apart)
        growth.append(factors)
    stretched = torch.stack([directions.new_ones(R, B, n), *growth], 1).abs()
    logarithms = torch.where(counted[..., None], stretched.log(), 0)  # (R, T, B, n)
    # Sum one by one, in the same order alone and in a fleet.
    total: Tensor = sum(logarithms.unbind(1), torch.zeros_like(logarithms[:, 0]))
    mean = total / counted.sum(1)[..., None]
    infinite = ~stretched.isfinite().all(-1).all(1)  # (R, B)
    return torch.where(infinite[..., None], torch.inf, mean).to(x.dtype)


def _orthonormal(moved: Tensor, apart: bool) -> tuple[Tensor, Tensor]:
    """Orthonormalize directions ``(R, B, S, n)``, or normalize each apart; return factors too."""
    if apart:
        alone, lengths = torch.linalg.qr(moved.mT[..., None])  # (R, B, n, S, 1), (R, B, n, 1, 1)
        return alone[..., 0].mT, lengths[..., 0, 0]
    directions, factors = torch.linalg.qr(moved)
    return directions, factors.diagonal(dim1=-2, dim2=-1)


def _directions(size: int, count: int) -> Tensor:
    """Draw orthonormal directions, ``(S, n)``; the first ones don't depend on the count."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(size, generator=generator, dtype=torch.float64) for _ in range(count)]
    orthonormal: Tensor = torch.linalg.qr(torch.stack(drawn, 1))[0]
    return orthonormal


def _along(run: Trajectory, t: int, directions: Tensor) -> Tensor:
    """Return J D for the derivative J of a step and directions D ``(R, B, S, n)``.

    Repeat each sequence n times, and differentiate Jᵀ u, which is linear in u, by u along D.
    Torch's forward mode would need one pass, but its first use compiles for a second and warns.
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
    """Return which steps are counted, ``(R, T, B)``."""
    begun = (x != 0).any(-1).cumsum(1) > 0
    begun = begun | ~begun[:, -1:]  # without symbols, nothing counts as padding
    age = begun.cumsum(1) - 1  # 0 at the first symbol
    return age > (age[:, -1:] // 2).clamp(max=transient)
