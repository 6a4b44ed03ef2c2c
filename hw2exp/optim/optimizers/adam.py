"""Adam and AdamW."""

from dataclasses import dataclass
from typing import Annotated, Any

from hw2exp.config.doors import register_optimizer
from hw2exp.config.knob import per_replica, shared
from hw2exp.models.axes import State, columns, roots
from hw2exp.optim.optimizers.formulas import bias_correction, heavy_ball_limit, with_decay
from hw2exp.optim.optimizers.protocol import Optimizer
from hw2exp.system.lazy_torch import Tensor, torch


@register_optimizer("adamw")
@register_optimizer("adam")
@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1); AdamW (Loshchilov & Hutter 2019) if decoupled.

    Both are one class: ``optimizer=adamw`` is ``optimizer=adam`` with another default.

    Args:
        lr: learning rate, ``(R,)``.
        weight_decay: L2 penalty, or decoupled decay, ``(R,)``.
        beta1: decay of the mean of gradients, ``(R,)``.
        beta2: decay of the mean of squared gradients, ``(R,)``.
        eps: added to the root of that mean, ``(R,)``.
        decoupled: whether the decay shrinks the parameters themselves, and adds nothing to the
            gradient.
    """

    rows = True

    beta1: Annotated[Tensor, per_replica("decay of the running mean of gradients", ge=0, lt=1)]
    beta2: Annotated[
        Tensor, per_replica("decay of the running mean of squared gradients", ge=0, lt=1)
    ]
    eps: Annotated[Tensor, per_replica("added to the root of the second mean", gt=0)]
    decoupled: Annotated[bool, shared("decay weights apart from the gradient: AdamW")]

    @staticmethod
    def contradictions(knobs: Any, config: Any) -> list[str]:
        """Return the problem of an AdamW whose decay is not decoupled."""
        if knobs.decoupled or "adamw" not in knobs.name:
            return []
        return [f"optimizer.decoupled=false: must be true for optimizer={knobs.name}"]

    @property
    def l2(self) -> Tensor:
        """Return the weight decay, or 0 if it is decoupled and not part of the gradient."""
        return torch.zeros_like(self.weight_decay) if self.decoupled else self.weight_decay

    def init(self, params: Tensor) -> State:
        """Return zero moments and a zero count of updates."""
        return {
            "mean": torch.zeros_like(params),
            "mean_square": torch.zeros_like(params),
            "updates": torch.zeros_like(self.lr),
        }

    def update(
        self, params: Tensor, grads: Tensor, state: State, lr: Tensor
    ) -> tuple[Tensor, State]:
        """Set m = β₁ m + (1-β₁) g;  s = β₂ s + (1-β₂) g²;  θ = θ - lr m̂ / (√ŝ + ε)."""
        if self.decoupled:
            g = grads
            params = params * columns(1 - lr * self.weight_decay, params)
        else:
            g = with_decay(grads, params, self.weight_decay)  # (R, P)
        t = state["updates"] + 1  # (R,)
        beta1, rest1 = columns(self.beta1, params), columns(1 - self.beta1, params)  # (R, 1)
        beta2, rest2 = columns(self.beta2, params), columns(1 - self.beta2, params)
        after = {
            "mean": beta1 * state["mean"] + rest1 * g,
            "mean_square": beta2 * state["mean_square"] + rest2 * g * g,
            "updates": t,
        }
        rate = columns(lr / bias_correction(self.beta1, t), params)
        return params - rate * after["mean"] / self.divisor(after), after

    def preconditioner(self, state: State) -> Tensor | None:
        """Return √ŝ + ε."""
        return self.divisor(state)

    def divisor(self, state: State) -> Tensor:
        """Return √ŝ + ε, by which an update divides, ``(R, P)``."""
        root = self.root(state)
        return root + columns(self.eps, root)

    def root(self, state: State) -> Tensor:
        """Return √ŝ, ``(R, P)``."""
        s = state["mean_square"]
        correction = bias_correction(self.beta2, state["updates"])  # (R,)
        return roots(s) / columns(roots(correction), s)

    def stability_limit(self, lr: Tensor) -> Tensor:
        """Return 2 (1+β₁) / ((1-β₁) lr), valid once the bias of m is negligible."""
        return heavy_ball_limit(self.beta1, lr * (1 - self.beta1))
