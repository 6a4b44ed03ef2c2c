"""Measure sharpness: the top eigenvalue of the loss's Hessian, against the optimizer's limit.

The loss is the mean training loss of one batch, without a regularizer. All computations are in
float64, for all replicas at once, and leave the fleet unchanged.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hw2exp.diagnostics.lanczos import (
    ITERATIONS,
    Eigenvalue,
    Product,
    lanczos,
    start_vectors,
)
from hw2exp.fleet.fleet import Fleet
from hw2exp.models.axes import columns, norms
from hw2exp.models.classifier import Classifier

NUDGE, CENTRAL_NUDGE = 1e-9, 1e-8
"""The lengths of a nudge of the parameters for one-sided and for central differences, in units of
max(1, their norm)."""


@dataclass(frozen=True)
class Sharpness:
    """The curvature of R replicas' losses, and the stability limit of their optimizers.

    Args:
        raw: the largest eigenvalue of the Hessian H.
        preconditioned: the largest eigenvalue of P^(-1/2) (H + w) P^(-1/2), with the optimizer's
            preconditioner P, by which it divides the gradient, and its L2 penalty w. It equals
            ``raw`` for SGD without a penalty, and is NaN for an optimizer without a preconditioner.
        limit: the preconditioned sharpness above which the optimizer diverges on a quadratic loss,
            with P held fixed, ``(R,)``.
    """

    raw: Eigenvalue
    preconditioned: Eigenvalue
    limit: Tensor

    @property
    def instability(self) -> Tensor:
        """Return the preconditioned sharpness in units of its limit, ``(R,)``; unstable above 1."""
        return self.preconditioned.found / self.limit


def sharpness(
    fleet: Fleet,
    symbols: Tensor,
    labels: Tensor,
    lr: Tensor,
    iterations: int = ITERATIONS,
    exact: bool = False,
) -> Sharpness:
    """Measure the sharpness of every replica, at its parameters and optimizer state.

    Args:
        fleet: the runs. Before the first update P is meaningless: ε for RMSprop, NaN for Adam.
        symbols: the batch's symbols, ``(R, B, T)``.
        labels: the batch's labels, ``(R, B)``.
        lr: the scheduled learning rate, ``(R,)`` in float64.
        iterations: the Lanczos iterations, each a Hessian-vector product.
        exact: whether to differentiate twice by autograd, many times slower than differences.

    Source: Cohen et al. 2021, "Gradient descent on neural networks typically occurs at the edge of
    stability"; Cohen et al. 2022, "Adaptive gradient methods at the edge of stability", §2.
    """
    at = fleet.state.params.double()  # (R, P)
    hessian = check = exact_product(fleet, at, symbols, labels) if exact else None
    if hessian is None or check is None:
        hessian = difference_product(fleet, at, symbols, labels)
        check = difference_product(fleet, at, symbols, labels, central=True)
    start = start_vectors(fleet.seeds, at.shape[1]).to(at.device)
    raw = lanczos(hessian, start, iterations, check)
    limit = fleet.optimizer.stability_limit(lr)
    divisor = fleet.optimizer.preconditioner(fleet.state.optimizer)  # (R, P)
    if divisor is None:
        unknown = replace(raw, value=torch.full_like(raw.value, torch.nan))
        return Sharpness(raw, unknown, limit)
    root = divisor.double().sqrt()  # (R, P)
    l2 = fleet.optimizer.l2.to(at.device)  # (R,)
    if not bool((root != 1).any()):
        return Sharpness(raw, replace(raw, value=raw.value + l2) if bool(l2.any()) else raw, limit)

    def behind(product: Product) -> Product:
        penalty = columns(l2, at)  # (R, 1)
        return lambda v: (product(v / root) + penalty * v / root) / root

    return Sharpness(raw, lanczos(behind(hessian), start, iterations, behind(check)), limit)


def directional_curvature(fleet: Fleet, symbols: Tensor, labels: Tensor) -> Tensor:
    """Measure the preconditioned curvature along the gradient, gᵀ P⁻¹ (H + w) g / ‖g‖², ``(R,)``.

    The gradient g is that of the loss and the optimizer's penalty; for P and w see
    :class:`Sharpness`, with whose limit the curvature compares.

    Args:
        fleet: the runs, at the state after the update that is to divide by P.
        symbols: the batch's symbols, ``(R, B, T)``.
        labels: the batch's labels, ``(R, B)``.

    Source: Bai et al. 2025, "Adaptive preconditioners trigger loss spikes in Adam",
    arXiv:2506.04805; their factor for momentum is in the limit.
    """
    at = fleet.state.params.double()  # (R, P)
    l2 = fleet.optimizer.l2.to(at.device)  # (R,)
    penalty = columns(l2, at)  # (R, 1)
    g = gradient_at(fleet, at, symbols, labels) + penalty * at
    product = difference_product(fleet, at, symbols, labels, central=True)
    bent = product(g) + penalty * g  # (R, P)
    divisor = fleet.optimizer.preconditioner(fleet.state.optimizer)
    if divisor is None:
        return torch.full_like(l2, torch.nan)
    return (g / divisor.double() * bent).sum(1) / g.square().sum(1)


def gradient_at(fleet: Fleet, params: Tensor, symbols: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of the batch's mean loss at given parameters, ``(R, P)``.

    Args:
        fleet: the runs.
        params: the parameters, ``(R, P)``.
        symbols: the batch's symbols, ``(R, B, T)``.
        labels: the batch's labels, ``(R, B)``.
    """
    there = fleet.layout.unflatten(params)
    back = fleet.model.gradient(there, symbols, labels)
    return fleet.layout.rows(back.of)


def difference_product(
    fleet: Fleet, at: Tensor, symbols: Tensor, labels: Tensor, central: bool = False
) -> Product:
    """Make Hessian-vector products by gradient differences: H v ≈ (∇ℓ(θ + ε v) - ∇ℓ(θ)) / ε.

    The differences are one-sided by default. Central ones are 1,000 times as exact, but each costs
    another gradient, which is better spent on another Lanczos iteration. ε ‖v‖ is
    1e-9 max(1, ‖θ‖), because ∇ℓ bends on a scale of 1e-5 at a cliff, and a rounded zero may be
    divided by Adam's small ε. In training, the relative errors of the eigenvalues were 1e-7 to
    2e-5; at the largest gradients of 16 AttentionRNN(2), with norms of 2e2 to 2e7, they were 1e-7
    in the median and at most 2e-4.

    Args:
        fleet: the runs.
        at: θ, ``(R, P)`` in float64.
        symbols: the batch's symbols, ``(R, B, T)``.
        labels: the batch's labels, ``(R, B)``.
        central: whether to use central differences.
    """
    here = None if central else gradient_at(fleet, at, symbols, labels)  # (R, P)
    length = (CENTRAL_NUDGE if central else NUDGE) * norms(at).clamp(min=1)  # (R,)

    def product(v: Tensor) -> Tensor:
        eps = columns(length / norms(v).clamp(min=torch.finfo(v.dtype).tiny), v)  # (R, 1)
        ahead = gradient_at(fleet, at + eps * v, symbols, labels)
        if here is not None:
            return (ahead - here) / eps
        return (ahead - gradient_at(fleet, at - eps * v, symbols, labels)) / (2 * eps)

    return product


def exact_product(fleet: Fleet, at: Tensor, symbols: Tensor, labels: Tensor) -> Product:
    """Make Hessian-vector products by autograd through the gradient, without the closed form.

    The arguments are those of :func:`difference_product`.

    Source: Pearlmutter 1994, "Fast exact multiplication by the Hessian".
    """
    model = fleet.model
    plain = Classifier(model.cell, model.normalization, model.time_steps, model.device)
    at = at.detach().requires_grad_()
    there = fleet.layout.unflatten(at)
    loss, _ = plain.mean_loss(there, symbols, labels)
    # The sums over R only start the backward passes, since replicas share no parameters.
    (gradient,) = torch.autograd.grad(loss.sum(), at, create_graph=True)  # (R, P)

    def product(v: Tensor) -> Tensor:
        return torch.autograd.grad((gradient * v).sum(), at, retain_graph=True)[0]

    return product
