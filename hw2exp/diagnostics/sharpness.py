"""Sharpness: the top eigenvalue of the loss's Hessian, against what the optimizer can stand.

The loss is the mean loss of one batch, in training, without a regularizer. Everything is in
float64, for all replicas at once, and changes nothing of the fleet.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hw2exp.axes import columns, norms
from hw2exp.diagnostics.lanczos import (
    ITERATIONS,
    Eigenvalue,
    Product,
    lanczos,
    start_vectors,
)
from hw2exp.fleet import Fleet
from hw2exp.models.classifier import Classifier

NUDGE, CENTRAL_NUDGE = 1e-9, 1e-8
"""The length of a nudge of the parameters, as a share of their norm."""


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
    back = fleet.model.gradient(there, symbols, labels)
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
    length = NUDGE * norms(at).clamp(min=1)  # (R,)

    def product(v: Tensor) -> Tensor:
        eps = columns(length / norms(v).clamp(min=torch.finfo(v.dtype).tiny), v)  # (R, 1)
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
    length = CENTRAL_NUDGE * norms(at).clamp(min=1)  # (R,)

    def product(v: Tensor) -> Tensor:
        eps = columns(length / norms(v).clamp(min=torch.finfo(v.dtype).tiny), v)  # (R, 1)
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
    loss, _ = plain.mean_loss(there, symbols, labels)
    # The sums over R only start the backward passes: replicas share no parameter.
    (gradient,) = torch.autograd.grad(loss.sum(), at, create_graph=True)  # (R, P)

    def product(v: Tensor) -> Tensor:
        return torch.autograd.grad((gradient * v).sum(), at, retain_graph=True)[0]

    return product
