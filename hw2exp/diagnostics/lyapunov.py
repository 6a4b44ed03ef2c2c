"""Measure Lyapunov exponents: the rates at which states near a trajectory leave or approach it.

By the QR method, orthonormal directions are moved by the derivative of each step, and then
orthonormalized again; the mean logarithms of the stretch factors are the exponents. Source:
Benettin et al. 1980; for recurrent networks Engelken, Wolf & Abbott 2023, "Lyapunov spectra of
chaotic recurrent neural networks", Phys. Rev. Research 5, 043044.

The state of the dynamics is the whole carry. Where the carry repeats itself, as in AttentionRNN(k),
the surplus exponents are -∞. AttentionRNN(∞) carries sums over all states, which forget nothing:
its largest exponent is near zero or above. Its running maximum is differentiated as a constant, as
in the cell.
"""

import torch
from torch import Tensor

from hw2exp.diagnostics.all_steps import AllSteps
from hw2exp.diagnostics.trajectory import Trajectory
from hw2exp.models.stretching import (
    TRANSIENT,
    counted_steps,
    mean_growth,
    moved,
    numbers,
    orthonormal_directions,
    orthonormalized,
)

STARTS = 5
"""The number of random start directions for the largest exponent. In finite time, each gives its
own exponent; if these differ in sign, the sign is unknown."""

FEW = 80
"""Largest size S of a carry to make Jacobians for: larger ones take too much time and memory."""


def lyapunov_exponents(
    run: Trajectory, transient: int = TRANSIENT, count: int | None = None
) -> Tensor:
    """Return the finite-time exponents of each sequence, natural logarithm per time step.

    The padding, the step onto the first symbol, and the ``transient`` steps after it (at most half
    of the steps between symbols) are run through, but not counted.

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
    size, dtype = _size(run), run.x.dtype
    steps = AllSteps(run).carry_rows() if size <= FEW else None

    def move(t: int, directions: Tensor) -> Tensor:
        now = directions.to(dtype)  # (R, B, S, n)
        return steps.move(t, now) if steps is not None else _along(run, t, now)

    counted = counted_steps((run.x != 0).any(-1), transient)  # (R, T, B)
    how = _normalized if apart else orthonormalized
    return mean_growth(move, orthonormal_directions(size, n), counted, how).to(dtype)


def _normalized(directions: Tensor) -> tuple[Tensor, Tensor]:
    """Normalize each of the directions ``(R, B, S, n)`` by itself; return stretch factors too."""
    alone, lengths = torch.linalg.qr(directions.mT[..., None])  # (R, B, n, S, 1), (R, B, n, 1, 1)
    return alone[..., 0].mT, lengths[..., 0, 0]


def _along(run: Trajectory, t: int, directions: Tensor) -> Tensor:
    """Return J D for the derivative J of a trajectory's step and directions D ``(R, B, S, n)``."""
    return moved(run.cell, run.params, run.inputs_at(t), run.carries[t], run.norm_at(t), directions)
