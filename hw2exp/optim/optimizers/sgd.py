"""Stochastic gradient descent, with or without momentum."""

from dataclasses import dataclass
from typing import Annotated, Any

from hw2exp.config.doors import register_optimizer
from hw2exp.config.knob import per_replica, shared
from hw2exp.models.axes import State, columns
from hw2exp.optim.optimizers.formulas import heavy_ball_limit, with_decay
from hw2exp.optim.optimizers.protocol import Optimizer
from hw2exp.system.lazy_torch import Tensor, torch


@register_optimizer("sgd")
@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent (Sutskever et al. 2013 for both kinds of momentum).

    Args:
        lr: learning rate, ``(R,)``.
        weight_decay: L2 penalty, ``(R,)``.
        momentum: momentum μ, ``(R,)``.
        nesterov: whether the momentum is Nesterov's.
    """

    rows = True

    momentum: Annotated[Tensor, per_replica("momentum", ge=0, lt=1)]
    nesterov: Annotated[bool, shared("Nesterov's momentum")]

    @staticmethod
    def contradictions(knobs: Any, config: Any) -> list[str]:
        """Return the problem of Nesterov's momentum without momentum."""
        if knobs.momentum > 0 or not knobs.nesterov:
            return []
        return ["optimizer.nesterov=true: needs optimizer.momentum > 0, which is 0"]

    def init(self, params: Tensor) -> State:
        """Return a zero velocity."""
        return {"velocity": torch.zeros_like(params)}

    def update(
        self, params: Tensor, grads: Tensor, state: State, lr: Tensor
    ) -> tuple[Tensor, State]:
        """Set v = μ v + g;  θ = θ - lr v, or θ - lr (g + μ v) with Nesterov momentum."""
        g = with_decay(grads, params, self.weight_decay)  # (R, P)
        mu = columns(self.momentum, params)  # (R, 1)
        v = mu * state["velocity"] + g
        direction = g + mu * v if self.nesterov else v
        return params - columns(lr, params) * direction, {"velocity": v}

    def preconditioner(self, state: State) -> Tensor:
        """Return ones."""
        return torch.ones_like(state["velocity"])

    def stability_limit(self, lr: Tensor) -> Tensor:
        """Return 2 (1+μ) / lr, for Nesterov momentum divided by 1+2μ.

        The polynomial of the latter is z² - (1+μ)(1-x) z + μ(1-x), with x = lr λ.
        """
        return heavy_ball_limit(self.momentum, lr) / (1 + 2 * self.momentum * self.nesterov)
