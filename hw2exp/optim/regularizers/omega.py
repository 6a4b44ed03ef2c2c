"""Ω, a regularizer against vanishing gradients (Pascanu, Mikolov & Bengio 2013)."""

from dataclasses import dataclass
from typing import Annotated, Any

from hw2exp.config.doors import register_regularizer
from hw2exp.config.knob import per_replica
from hw2exp.models.axes import Params, StateTrajectory, columns, norms
from hw2exp.models.cells.rnn import ElmanRNNKnobs
from hw2exp.optim.regularizers.protocol import Regularizer
from hw2exp.system.lazy_torch import Tensor, torch


@register_regularizer("omega")
@dataclass(frozen=True)
class Omega(Regularizer):
    """A term that keeps the norm of the backpropagated gradient, in its own direction.

    Ω = mean of (‖∂ℓ/∂h[t] · ∂h[t]/∂h[t-1]‖² / ‖∂ℓ/∂h[t]‖² - 1)², over all sequences and all t with
    ‖∂ℓ/∂h[t]‖² at or above a bound. Only its immediate derivative with respect to the recurrent
    weights is used: all h[t] and ∂ℓ/∂h[t] are held fixed.

    Args:
        weight: factor of Ω, ``(R,)``.
        bound: the bound on ‖∂ℓ/∂h[t]‖², ``(R,)``.

    Source: Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural
    networks", eq. 9 and 10. The squared norms, the bound, and the terms of the mean follow their
    public code.
    """

    needs_path = True

    weight: Annotated[Tensor, per_replica("factor of the regularizer's gradient", ge=0)]
    bound: Annotated[Tensor, per_replica("‖∂ℓ/∂h[t]‖² below which a step is left out", gt=0)]

    @staticmethod
    def contradictions(knobs: Any, config: Any) -> list[str]:
        """Return the problems of a cell for which Ω is not defined."""
        problems = []
        if not isinstance(config.model, ElmanRNNKnobs):
            problems.append(f"regularizer=omega: needs model=rnn, not model={config.model.name}")
        if config.norm.name != "none":
            problems.append(f"regularizer=omega: needs norm=none, not norm={config.norm.name}")
        return problems

    def add(self, grads: Params, cell: Any, params: Params, path: StateTrajectory | None) -> Params:
        """Add weight · ∂Ω/∂W_hh, one replica at a time, so that its arrays stay in cache."""
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
    """Compute one replica's ∂Ω/∂W = mean of 4 (ρ - 1) u (Wᵀu)ᵀ / ‖δ‖², with ρ = ‖Wᵀu‖² / ‖δ‖².

    Args:
        u: φ'(z[t]) ⊙ δ[t] of all sequences and steps, ``(B, T, H)``.
        delta: δ[t] = ∂ℓ/∂h[t], ``(B, T, H)``.
        recurrent: W, ``(H, H)``.
        bound: smallest ‖δ[t]‖² of a time step that counts.

    Returns:
        The gradient, ``(H, H)``; zeros if no time step counts.
    """
    u, delta = u.flatten(0, 1), delta.flatten(0, 1)  # (B T, H)
    length = norms(delta)  # (B T,)
    counts = length.square() >= bound
    # In units of ‖δ‖, because the squares of an exploding gradient overflow.
    u = torch.where(counts[:, None], u / columns(length, u), 0)
    before = u @ recurrent  # Wᵀu
    factor = 4 * (before.square().sum(1) - 1) / counts.sum().clamp(min=1)
    return (factor[:, None] * u).mT @ before
