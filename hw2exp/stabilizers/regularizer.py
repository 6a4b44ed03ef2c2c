"""Terms that are added to the loss: against gradients that vanish on their way back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from hw2exp.axes import Params, Path, columns, norms
from hw2exp.config.groups import Regularizer as RegularizerOptions
from hw2exp.hyperparameters import stack


class Regularizer(Protocol):
    """Adds a term's gradient to the loss's, before anything is clipped."""

    needs_path: bool
    """Whether it is to be given the states and their gradients."""

    def add(self, grads: Params, cell: Any, params: Params, path: Path | None) -> Params:
        """Add the term's gradient.

        Args:
            grads: the loss's gradient by each parameter, each ``(R, ...)``.
            cell: the recurrent cell.
            params: its parameters, each ``(R, ...)``.
            path: the states and their gradients, if they are needed.
        """


class NoRegularizer:
    """The loss as it is."""

    needs_path = False

    def add(self, grads: Params, cell: Any, params: Params, path: Path | None) -> Params:
        """Add nothing."""
        return grads


@dataclass(frozen=True)
class Omega:
    """Keep the norm of a gradient on its way back, in the directions in which it comes.

    Ω = mean of (‖∂ℓ/∂h[t] · ∂h[t]/∂h[t-1]‖² / ‖∂ℓ/∂h[t]‖² - 1)² over the batch and those t at
    which ‖∂ℓ/∂h[t]‖² is not below a bound. Only its immediate derivative by the recurrent weights
    is used, with all h[t] and ∂ℓ/∂h[t] held fixed.

    Args:
        weight: factor of Ω, ``(R,)``.
        bound: see above, ``(R,)``.

    Source: Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural
    networks", eq. 9 and 10; that norms are squared, the bound, and what the mean is over follow
    their public code.
    """

    weight: Tensor
    bound: Tensor

    needs_path = True

    def add(self, grads: Params, cell: Any, params: Params, path: Path | None) -> Params:
        """Add weight · ∂Ω/∂W_hh; a replica at a time, so that its arrays stay in cache."""
        assert path is not None
        recurrent = params["weight_hh"]
        each = [
            omega_gradient(cell.slope(h) * delta, delta, W, limit)
            for h, delta, W, limit in zip(*path, recurrent, self.bound, strict=True)
        ]
        gradient = torch.stack(each)  # (R, H, H)
        own = grads["weight_hh"] + columns(self.weight, gradient) * gradient
        return grads | {"weight_hh": own}


def omega_gradient(u: Tensor, delta: Tensor, recurrent: Tensor, bound: Tensor) -> Tensor:
    """∂Ω/∂W = mean of 4 (ρ - 1) u (Wᵀu)ᵀ / ‖δ‖², with ρ = ‖Wᵀu‖² / ‖δ‖², of one replica.

    Args:
        u: φ'(z[t]) ⊙ δ[t] of all sequences and steps, ``(B, T, H)``.
        delta: δ[t] = ∂ℓ/∂h[t], ``(B, T, H)``.
        recurrent: W, ``(H, H)``.
        bound: ‖δ[t]‖² below which a step is left out.

    Returns:
        ``(H, H)``; zeros if no step counts.
    """
    u, delta = u.flatten(0, 1), delta.flatten(0, 1)  # (B T, H)
    length = norms(delta)  # (B T,)
    counts = length.square() >= bound
    # In units of ‖δ‖: an exploding gradient's squares overflow.
    u = torch.where(counts[:, None], u / columns(length, u), 0)
    before = u @ recurrent  # Wᵀu
    factor = 4 * (before.square().sum(1) - 1) / counts.sum().clamp(min=1)
    return (factor[:, None] * u).mT @ before


REGULARIZERS: dict[str, type[Any]] = {"none": NoRegularizer, "omega": Omega}


def build(options: Sequence[RegularizerOptions], device: torch.device | str = "cpu") -> Regularizer:
    """Make the regularizer of a fleet.

    Args:
        options: the ``regularizer`` section of each replica, length R.
        device: where its tensors go.
    """
    made: Regularizer = REGULARIZERS[options[0].name](**stack(options, device))
    return made
