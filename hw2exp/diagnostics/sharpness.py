"""Sharpness: the top eigenvalue of the loss's Hessian, against what the optimizer can stand.

The loss is the mean loss of one batch, in training, without a regularizer. Everything is in
float64, for all replicas at once, and changes nothing of the fleet.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hw2exp.axes import columns
from hw2exp.fleet import Fleet
from hw2exp.models.classifier import Classifier

ITERATIONS = 14
"""Of Lanczos, each a gradient in float64. In 1,000 steps of AttentionRNN and GatedRNN ``raw`` was
off by 4e-4 of itself at most; ``preconditioned`` by 3e-5 in the median, by 7e-2 at most."""

NUDGE, CENTRAL_NUDGE = 1e-9, 1e-8
"""The length of a nudge of the parameters, as a share of their norm."""

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


@dataclass(frozen=True)
class Sharpness:
    """The curvature of R replicas' losses, and the most that their optimizers can stand.

    Args:
        raw: of the Hessian H.
        preconditioned: of P^(-1/2) (H + w) P^(-1/2), P what the optimizer divides the gradient by,
            w its L2 penalty; the same as ``raw`` for SGD without one.
        limit: where ``preconditioned`` exceeds this, a step of the optimizer on a quadratic loss
            diverges, ``(R,)``; P is held fixed.
    """

    raw: Eigenvalue
    preconditioned: Eigenvalue
    limit: Tensor

    @property
    def instability(self) -> Tensor:
        """The preconditioned sharpness in units of its limit, ``(R,)``: above 1 is unstable."""
        return self.preconditioned.found / self.limit


def sharpness(
    fleet: Fleet,
    symbols: Tensor,
    labels: Tensor,
    lr: Tensor,
    iterations: int = ITERATIONS,
    exact: bool = False,
) -> Sharpness:
    """Measure the sharpness of every replica where it is, with its optimizer's last state.

    Args:
        fleet: the runs. Before the first update P means nothing: it is ε for RMSprop, NaN for Adam.
        symbols: of the batch whose loss it is, ``(R, B, T)``.
        labels: ``(R, B)``.
        lr: the scheduled learning rate, ``(R,)`` in float64.
        iterations: of Lanczos, each a Hessian-vector product.
        exact: differentiate twice by autograd, many times slower, instead of taking differences.

    Source: Cohen et al. 2021, "Gradient descent on neural networks typically occurs at the edge of
    stability"; Cohen et al. 2022, "Adaptive gradient methods at the edge of stability", §2.
    """
    at = fleet.state.params.double()  # (R, P)
    hessian = check = exact_product(fleet, at, symbols, labels) if exact else None
    if hessian is None or check is None:
        hessian = difference_product(fleet, at, symbols, labels)
        check = central_product(fleet, at, symbols, labels)
    start = start_vectors(fleet.seeds, at.shape[1]).to(at.device)
    raw = lanczos(hessian, start, iterations, check)
    root = fleet.optimizer.preconditioner(fleet.state.optimizer).double().sqrt()  # (R, P)
    l2 = fleet.optimizer.l2.to(at.device)  # (R,)
    limit = fleet.optimizer.stability_limit(lr)
    if not bool((root != 1).any()):
        return Sharpness(raw, replace(raw, value=raw.value + l2) if bool(l2.any()) else raw, limit)

    def behind(product: Product) -> Product:
        penalty = columns(l2, at)  # (R, 1)
        return lambda v: (product(v / root) + penalty * v / root) / root

    return Sharpness(raw, lanczos(behind(hessian), start, iterations, behind(check)), limit)


def gradient_at(fleet: Fleet, params: Tensor, symbols: Tensor, labels: Tensor) -> Tensor:
    """The gradient of the batch's mean loss, elsewhere than the fleet stands, ``(R, P)``.

    Args:
        fleet: the runs.
        params: where, ``(R, P)``.
        symbols: ``(R, B, T)``.
        labels: ``(R, B)``.
    """
    there = fleet.layout.unflatten(params)
    back = fleet.model.gradient(there, fleet.state.buffers, symbols, labels)
    return fleet.layout.flatten(list(back.of.values()))


def difference_product(fleet: Fleet, at: Tensor, symbols: Tensor, labels: Tensor) -> Product:
    """Hessian-vector products by differences of the gradient: H v ≈ (∇ℓ(θ + ε v) - ∇ℓ(θ)) / ε.

    One-sided: central differences cost a gradient more, for which another iteration of Lanczos
    gains more. ε ‖v‖ is 1e-9 max(1, ‖θ‖): ∇ℓ bends on a scale of 1e-5 at a cliff, and a zero that
    is rounded may be divided by Adam's small ε. In training the eigenvalues were off by 1e-7 to
    2e-5 of their size; at the largest gradients of 16 AttentionRNN(2), of norms 2e2 to 2e7, by
    1e-7 in the median and 2e-4 at most.

    Args:
        fleet: the runs.
        at: θ, ``(R, P)`` in float64.
        symbols: ``(R, B, T)``.
        labels: ``(R, B)``.
    """
    here = gradient_at(fleet, at, symbols, labels)  # (R, P)
    length = NUDGE * _norm(at).clamp(min=1)  # (R,)

    def product(v: Tensor) -> Tensor:
        eps = columns(length / _norm(v).clamp(min=torch.finfo(v.dtype).tiny), v)  # (R, 1)
        return (gradient_at(fleet, at + eps * v, symbols, labels) - here) / eps

    return product


def central_product(fleet: Fleet, at: Tensor, symbols: Tensor, labels: Tensor) -> Product:
    """Hessian-vector products by central differences: a thousand times nearer, at twice the cost.

    Args:
        fleet: the runs.
        at: θ, ``(R, P)`` in float64.
        symbols: ``(R, B, T)``.
        labels: ``(R, B)``.
    """
    length = CENTRAL_NUDGE * _norm(at).clamp(min=1)  # (R,)

    def product(v: Tensor) -> Tensor:
        eps = columns(length / _norm(v).clamp(min=torch.finfo(v.dtype).tiny), v)  # (R, 1)
        ahead, behind = (gradient_at(fleet, at + e * v, symbols, labels) for e in (eps, -eps))
        return (ahead - behind) / (2 * eps)

    return product


def exact_product(fleet: Fleet, at: Tensor, symbols: Tensor, labels: Tensor) -> Product:
    """Hessian-vector products by autograd through the gradient of the plain form.

    Args:
        fleet: the runs.
        at: where, ``(R, P)``.
        symbols: ``(R, B, T)``.
        labels: ``(R, B)``.

    Source: Pearlmutter 1994, "Fast exact multiplication by the Hessian".
    """
    model = fleet.model
    plain = Classifier(model.cell, model.norm, model.time_steps, model.device, closed_form=False)
    at = at.detach().requires_grad_()
    there = fleet.layout.unflatten(at)
    loss, _, _ = plain.mean_loss(there, fleet.state.buffers, symbols, labels)
    # The sums over R only start the backward passes: replicas share no parameter.
    (gradient,) = torch.autograd.grad(loss.sum(), at, create_graph=True)  # (R, P)

    def product(v: Tensor) -> Tensor:
        return torch.autograd.grad((gradient * v).sum(), at, retain_graph=True)[0]

    return product


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
    q, size = start / columns(_norm(start), start), start.new_zeros(R)
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
        beta = _norm(w)  # (R,)
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
    y = y / columns(_norm(y), y)
    Ay = (check or product)(y)
    value = (y * Ay).sum(1)  # (R,)
    residual = _norm(Ay - value[:, None] * y)
    sound = sound & value.isfinite() & residual.isfinite()
    return Eigenvalue(*(torch.where(sound, x, torch.nan) for x in (value, residual)))


def _norm(rows: Tensor) -> Tensor:
    """The norm of each row, ``(R,)``."""
    norm: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return norm
