"""Stable-SPAM: Adam on gradients whose spikes are clipped and whose norm is steadied."""

from dataclasses import dataclass
from typing import Annotated, Any

from hw2exp.config.doors import register_optimizer
from hw2exp.config.knob import per_replica
from hw2exp.models.axes import Layout, State, columns, norms, roots
from hw2exp.optim.optimizers.adam import Adam
from hw2exp.optim.optimizers.formulas import bias_correction
from hw2exp.optim.optimizers.spam import forget
from hw2exp.system.lazy_torch import Tensor, torch


@register_optimizer("stable_spam")
@dataclass(frozen=True)
class StableSPAM(Adam):
    """Adam with adaptive clipping, adaptive gradient norm and momentum reset, tensor by tensor.

    AdaClip: T = γ₃ T + (1-γ₃) max|g|; an entry with |g| > T̂ becomes T̂ g / max|g|.
    AdaGN: a = γ₁ a + (1-γ₁) ‖g‖,  b = γ₂ b + (1-γ₂) ‖g‖²;  g becomes g / ‖g‖ · â / (√b̂ + ε).
    In update ΔT, 2ΔT, … Adam's moments and their bias begin anew. Otherwise as :class:`Adam`.

    A gradient of zero stays zero. Since the size of a gradient no longer matters, there is no
    preconditioner in whose units the curvature could be stated.

    Args:
        gamma1: decay of the running norm, γ₁, ``(R,)``.
        gamma2: decay of the running squared norm, γ₂, ``(R,)``.
        gamma3: decay of the running largest entry, γ₃, ``(R,)``.
        reset_every: updates between two resets, ΔT, ``(R,)``.

    Source: Huang et al. 2025, "Stable-SPAM: how to train in 4-bit more stably than 16-bit Adam",
    arXiv:2502.17055v1, algorithm 1.
    """

    rows = False

    gamma1: Annotated[Tensor, per_replica("decay of the running norm of a tensor", ge=0, lt=1)]
    gamma2: Annotated[
        Tensor, per_replica("decay of the running squared norm of a tensor", ge=0, lt=1)
    ]
    gamma3: Annotated[
        Tensor, per_replica("decay of the running largest entry of a tensor", ge=0, lt=1)
    ]
    reset_every: Annotated[
        Tensor, per_replica("updates between two resets of the moments", int, ge=2)
    ]

    def init(self, params: Any) -> State:
        """Return the state of Adam in rows, and zeros for each tensor."""
        none = torch.zeros_like(self.lr)[:, None].repeat(1, len(params))  # (R, tensors)
        own = {"largest": none, "norm": none, "norm_square": none}
        rows = Layout.of(params).rows(params)
        return super().init(rows) | own | {"steps": torch.zeros_like(self.lr)}

    def update(self, params: Any, grads: Any, state: State, lr: Tensor) -> tuple[Any, State]:
        """Clip spikes, steady the norms, reset the moments if it is time, update as Adam."""
        layout, t = Layout.of(params), state["steps"] + 1
        clipped, largest = self._clip([grads[name] for name in layout.shapes], state, t)
        steadied, own = self._steady(clipped, state, t)
        before = layout.rows(params)  # (R, P)
        g = layout.flatten(steadied).to(before.dtype)
        now = t % self.reset_every == 0  # (R,)
        state = forget(state, now) | {"updates": torch.where(now, 0, state["updates"])}
        moved, after = super().update(before, g, state, lr)
        return layout.unflatten(moved), after | own | {"largest": largest, "steps": t}

    def _clip(self, grads: list[Tensor], state: State, t: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the clipped gradients in float64, where no square overflows, and T."""
        grads = [g.double() for g in grads]
        peaks = torch.stack([g.flatten(1).abs().amax(1) for g in grads], 1)  # (R, tensors)
        largest = running(self.gamma3, state["largest"], peaks)
        limits = largest / bias_correction(self.gamma3, t)[:, None]
        clipped = []
        for g, peak, limit in zip(grads, peaks.unbind(1), limits.unbind(1), strict=True):
            spikes = g.abs() > columns(limit, g)
            clipped.append(torch.where(spikes, g * columns(limit / peak, g), g))
        return clipped, largest

    def _steady(self, grads: list[Tensor], state: State, t: Tensor) -> tuple[list[Tensor], State]:
        """Return the gradients with steadied norms, and the running means a and b."""
        sizes = torch.stack([norms(g.flatten(1)) for g in grads], 1)  # (R, tensors)
        norm = running(self.gamma1, state["norm"], sizes)
        square = running(self.gamma2, state["norm_square"], sizes * sizes)
        deviation = roots(square / bias_correction(self.gamma2, t)[:, None])
        usual = norm / bias_correction(self.gamma1, t)[:, None] / (deviation + self.eps[:, None])
        factors = torch.where(sizes == 0, 0, usual / sizes)
        steadied = [g * columns(f, g) for g, f in zip(grads, factors.unbind(1), strict=True)]
        return steadied, {"norm": norm, "norm_square": square}

    def preconditioner(self, state: State) -> None:
        """Return None."""

    def stability_limit(self, lr: Tensor) -> Tensor:
        """Return NaN."""
        return lr * float("nan")


def running(decay: Tensor, mean: Tensor, new: Tensor) -> Tensor:
    """Return a running mean after a new value.

    Args:
        decay: its decay, ``(R,)``.
        mean: the mean before, ``(R, n)``.
        new: the new value, ``(R, n)``.
    """
    return decay[:, None] * mean + (1 - decay)[:, None] * new
