"""The largest eigenvalue of many symmetric matrices at once, known by their products alone."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hw2exp.axes import columns, norms

ITERATIONS = 14
"""Of Lanczos, for a sharpness each a gradient in float64. In 1,000 steps of AttentionRNN and
GatedRNN ``Sharpness.raw`` was off by 4e-4 of itself at most; ``preconditioned`` by 3e-5 in the
median, by 7e-2 at most."""

BREAKDOWN = 1e-12
"""A β this small against the largest |α| and β so far is rounding: the Krylov space is whole."""

Product = Callable[[Tensor], Tensor]
"""The product of every replica's own matrix and vector, from ``(R, P)`` to ``(R, P)``."""


@dataclass(frozen=True)
class Eigenvalue:
    """The largest eigenvalue of R symmetric matrices, as Lanczos found it; NaN where it can't be.

    Args:
        value: the largest algebraically, not in size, ``(R,)``; it comes from below.
        residual: ‖A y - value · y‖ of its unit vector y, ``(R,)``: an eigenvalue is this near. As
            large as the value it says that the value is none.
    """

    value: Tensor
    residual: Tensor

    @property
    def found(self) -> Tensor:
        """The value; NaN where its residual is as large: there it is none, ``(R,)``."""
        return torch.where(self.residual < self.value.abs(), self.value, torch.nan)


def start_vectors(seeds: NDArray[np.uint64], size: int) -> Tensor:
    """Directions, uniform on the sphere: a pure function of the seed, ``(R, P)`` in float64.

    Args:
        seeds: one seed a replica, ``(R,)``.
        size: P.
    """
    drawn = [np.random.Generator(np.random.Philox(key=seed)).normal(size=size) for seed in seeds]
    return torch.from_numpy(np.stack(drawn))


def lanczos(
    product: Product, start: Tensor, iterations: int = ITERATIONS, check: Product | None = None
) -> Eigenvalue:
    """Find the largest eigenvalue of every replica's matrix, each in its own Krylov space.

    Args:
        product: with symmetric matrices; a row may depend on no other.
        start: ``(R, P)``; its length doesn't matter.
        iterations: products; P are enough.
        check: a more exact product, by which the vector that was found is judged.

    Source: Golub & Van Loan 2013, "Matrix computations", §10.1, with the full
    reorthogonalization of §10.3.
    """
    R, P = start.shape
    steps = min(iterations, P)
    basis, tridiagonal = start.new_zeros(R, steps, P), start.new_zeros(R, steps, steps)
    q, size = start / columns(norms(start), start), start.new_zeros(R)
    whole = torch.zeros_like(size, dtype=torch.bool)  # the basis spans all that can be reached
    for j in range(steps):
        basis[:, j] = q
        w = product(q)  # (R, P)
        # Where the space is whole, q is 0; what is below all eigenvalues stands in.
        alpha = torch.where(whole, tridiagonal[:, 0, 0] - 3 * size - 1, (q * w).sum(1))  # (R,)
        so_far = basis[:, : j + 1]
        for _ in range(2):  # once leaves rounding
            # Not bmm: with a single column its bits depend on how many replicas there are.
            along = (so_far * w[:, None]).sum(2)  # (R, j+1)
            w = w - (so_far * along[..., None]).sum(1)
        beta = norms(w)  # (R,)
        size = torch.maximum(size, torch.maximum(alpha.abs(), beta))
        whole = whole | (beta <= BREAKDOWN * size)
        beta = torch.where(whole, 0, beta)
        q = torch.where(whole[:, None], 0, w / columns(beta, w))
        tridiagonal[:, j, j] = alpha
        if j + 1 < steps:
            tridiagonal[:, j, j + 1] = tridiagonal[:, j + 1, j] = beta
    sound = tridiagonal.isfinite().flatten(1).all(1) & beta.isfinite()  # eigh raises on NaN
    _, vectors = torch.linalg.eigh(torch.where(sound[:, None, None], tridiagonal, 0))
    y = (basis * vectors[:, :, -1:]).sum(1)  # (R, P)
    y = y / columns(norms(y), y)
    Ay = (check or product)(y)
    value = (y * Ay).sum(1)  # (R,)
    residual = norms(Ay - value[:, None] * y)
    sound = sound & value.isfinite() & residual.isfinite()
    return Eigenvalue(*(torch.where(sound, x, torch.nan) for x in (value, residual)))
