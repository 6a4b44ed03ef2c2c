"""Lion."""

from dataclasses import dataclass
from typing import Annotated

from hw2exp.config.doors import register_optimizer
from hw2exp.config.knob import per_replica
from hw2exp.models.axes import State, columns
from hw2exp.optim.optimizers.protocol import Optimizer
from hw2exp.system.lazy_torch import Tensor, torch


@register_optimizer("lion")
@dataclass(frozen=True)
class Lion(Optimizer):
    """Evolved sign momentum: each entry moves by the learning rate, whatever its gradient's size.

    Args:
        lr: learning rate, ``(R,)``.
        weight_decay: decoupled decay, ``(R,)``.
        beta1: share of the mean in the direction, ``(R,)``.
        beta2: decay of the mean of gradients, ``(R,)``.

    Source: Chen et al. 2023, "Symbolic discovery of optimization algorithms", arXiv:2302.06675,
    algorithm 2.
    """

    rows = True

    beta1: Annotated[
        Tensor, per_replica("share of the mean in the direction of an update", ge=0, lt=1)
    ]
    beta2: Annotated[Tensor, per_replica("decay of the running mean of gradients", ge=0, lt=1)]

    @property
    def l2(self) -> Tensor:
        """Return 0, since the decay is no part of the gradient."""
        return torch.zeros_like(self.weight_decay)

    def init(self, params: Tensor) -> State:
        """Return a zero mean."""
        return {"mean": torch.zeros_like(params)}

    def update(
        self, params: Tensor, grads: Tensor, state: State, lr: Tensor
    ) -> tuple[Tensor, State]:
        """Set c = β₁ m + (1-β₁) g;  θ = (1 - lr λ) θ - lr sign(c);  m = β₂ m + (1-β₂) g."""
        m = state["mean"]
        beta1, rest1 = columns(self.beta1, params), columns(1 - self.beta1, params)  # (R, 1)
        beta2, rest2 = columns(self.beta2, params), columns(1 - self.beta2, params)
        c = beta1 * m + rest1 * grads
        sign = c.sign() + 0 * c  # so that NaN, whose sign torch takes for 0, stays NaN
        kept = params * columns(1 - lr * self.weight_decay, params)
        return kept - columns(lr, params) * sign, {"mean": beta2 * m + rest2 * grads}
