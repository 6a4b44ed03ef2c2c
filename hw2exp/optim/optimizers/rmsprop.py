"""RMSprop."""

from dataclasses import dataclass
from typing import Annotated

from hw2exp.config.doors import register_optimizer
from hw2exp.config.knob import per_replica, shared
from hw2exp.models.axes import State, columns, roots
from hw2exp.optim.optimizers.formulas import heavy_ball_limit, with_decay
from hw2exp.optim.optimizers.protocol import Optimizer
from hw2exp.system.lazy_torch import Tensor, torch


@register_optimizer("rmsprop")
@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop (Tieleman & Hinton 2012, lecture 6.5); centered as in Graves 2013, eq. 38-45.

    Args:
        lr: learning rate, ``(R,)``.
        weight_decay: L2 penalty, ``(R,)``.
        alpha: decay of the mean of squared gradients, ``(R,)``.
        eps: added to the root of that mean, ``(R,)``.
        momentum: momentum μ, ``(R,)``.
        centered: whether to divide by the standard deviation instead of the root mean square.
    """

    rows = True

    alpha: Annotated[
        Tensor, per_replica("decay of the running mean of squared gradients", ge=0, lt=1)
    ]
    eps: Annotated[Tensor, per_replica("added to the root of that mean", gt=0)]
    momentum: Annotated[Tensor, per_replica("momentum", ge=0, lt=1)]
    centered: Annotated[bool, shared("divide by the running deviation instead of the running norm")]

    def init(self, params: Tensor) -> State:
        """Return zero means and a zero velocity."""
        names = ["mean_square", "velocity"] + ["mean"] * self.centered
        return {name: torch.zeros_like(params) for name in names}

    def update(
        self, params: Tensor, grads: Tensor, state: State, lr: Tensor
    ) -> tuple[Tensor, State]:
        """Set s = α s + (1-α) g²;  v = μ v + g / (√s + ε);  θ = θ - lr v."""
        g = with_decay(grads, params, self.weight_decay)  # (R, P)
        alpha, rest = columns(self.alpha, params), columns(1 - self.alpha, params)  # (R, 1)
        after = {"mean_square": alpha * state["mean_square"] + rest * g * g}
        if self.centered:
            after["mean"] = alpha * state["mean"] + rest * g
        step = g / self.preconditioner(after)
        after["velocity"] = columns(self.momentum, params) * state["velocity"] + step
        return params - columns(lr, params) * after["velocity"], after

    def preconditioner(self, state: State) -> Tensor:
        """Return √s + ε; if centered, with the variance s - m² in place of s."""
        spread = state["mean_square"]
        if self.centered:
            spread = spread - state["mean"] ** 2
        return roots(spread) + columns(self.eps, spread)

    def stability_limit(self, lr: Tensor) -> Tensor:
        """Return 2 (1+μ) / lr."""
        return heavy_ball_limit(self.momentum, lr)
