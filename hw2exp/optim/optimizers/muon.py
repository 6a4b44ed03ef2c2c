"""Muon: momentum whose matrices are made orthogonal."""

from dataclasses import dataclass
from typing import Annotated

from hw2exp.config.doors import register_optimizer
from hw2exp.config.knob import per_replica, shared
from hw2exp.models.axes import Layout, Params, State, columns, norms
from hw2exp.optim.elementwise import on_host
from hw2exp.optim.optimizers.adam import Adam
from hw2exp.optim.optimizers.protocol import Optimizer
from hw2exp.system.lazy_torch import Tensor, torch

NO_WEIGHTS = ("readout_", "gamma_", "beta_")
"""Beginnings of the names of the readout's and a normalization's parameters."""


@register_optimizer("muon")
@dataclass(frozen=True)
class Muon(Optimizer):
    """Momentum orthogonalized by Newton-Schulz, for hidden matrices; AdamW for the rest.

    Hidden matrices are the parameters ``(out, in)`` of the cell, those of the input among them,
    but not the readout's nor a normalization's gains. Stacked gates count as one matrix.

    m = μ m + (1-μ) g;  u = m, or μ m + (1-μ) g with Nesterov momentum;
    θ = (1 - lr λ) θ - lr √max(1, out / in) O(u), see :func:`orthogonalized`.

    Args:
        lr: learning rate of the hidden matrices, ``(R,)``.
        weight_decay: decoupled decay λ of all parameters, ``(R,)``.
        momentum: momentum μ, ``(R,)``.
        adam_lr: learning rate of the other parameters, with the same schedule, ``(R,)``.
        beta1: AdamW's decay of the mean of gradients, ``(R,)``.
        beta2: AdamW's decay of the mean of squared gradients, ``(R,)``.
        eps: added by AdamW to the root of that mean, ``(R,)``.
        nesterov: whether the momentum is Nesterov's.
        iterations: steps of Newton-Schulz.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks",
    https://kellerjordan.github.io/posts/muon, and its code, but not in bfloat16.
    """

    momentum: Annotated[Tensor, per_replica("momentum of the hidden matrices", ge=0, lt=1)]
    adam_lr: Annotated[
        Tensor, per_replica("learning rate of the parameters that AdamW updates", gt=0)
    ]
    beta1: Annotated[Tensor, per_replica("AdamW's decay of the mean of gradients", ge=0, lt=1)]
    beta2: Annotated[
        Tensor, per_replica("AdamW's decay of the mean of squared gradients", ge=0, lt=1)
    ]
    eps: Annotated[Tensor, per_replica("added by AdamW to the root of the second mean", gt=0)]
    nesterov: Annotated[bool, shared("Nesterov's momentum")]
    iterations: Annotated[int, shared("steps of Newton-Schulz", ge=1, le=50)]

    @property
    def l2(self) -> Tensor:
        """Return 0, since the decay is no part of the gradient."""
        return torch.zeros_like(self.weight_decay)

    @property
    def adam(self) -> Adam:
        """Return the optimizer of the other parameters."""
        betas = self.beta1, self.beta2
        return Adam(self.adam_lr, self.weight_decay, *betas, self.eps, decoupled=True)

    def init(self, params: Params) -> State:
        """Return zero momentum and AdamW's state."""
        hidden, others = split(params)
        momentum = {f"momentum_{name}": torch.zeros_like(p) for name, p in hidden.items()}
        rows = Layout.of(others).rows(others)
        return momentum | {f"adam_{k}": value for k, value in self.adam.init(rows).items()}

    def update(
        self, params: Params, grads: Params, state: State, lr: Tensor
    ) -> tuple[Params, State]:
        """Update the hidden matrices, then the others."""
        hidden, others = split(params)
        moved, after = {}, {}
        for name, p in hidden.items():
            key, mu, rest = f"momentum_{name}", self.momentum, 1 - self.momentum
            m = columns(mu, p) * state[key] + columns(rest, p) * grads[name]
            u = columns(mu, p) * m + columns(rest, p) * grads[name] if self.nesterov else m
            size = max(1, p.shape[1] / p.shape[2]) ** 0.5
            step = columns(lr * size, p) * orthogonalized(u, self.iterations)
            moved[name] = p * columns(1 - lr * self.weight_decay, p) - step
            after[key] = m
        layout = Layout.of(others)
        theta, g = (layout.flatten([own[n] for n in others]) for own in (params, grads))
        own = {k.removeprefix("adam_"): state[k] for k in state if k.startswith("adam_")}
        theta, own = self.adam.update(theta, g, own, self.adam_lr * (lr / self.lr))
        moved |= layout.unflatten(theta)
        return moved, after | {f"adam_{k}": value for k, value in own.items()}


def split(params: Params) -> tuple[Params, Params]:
    """Return the hidden matrices, and the other parameters."""
    hidden = {n: p for n, p in params.items() if p.dim() == 3 and not n.startswith(NO_WEIGHTS)}
    return hidden, {name: p for name, p in params.items() if name not in hidden}


def orthogonalized(matrices: Tensor, iterations: int) -> Tensor:
    """Bring all singular values near 1: U S Vᵀ becomes about U Vᵀ, computed in float64.

    The iteration starts from X / max(‖X‖, 1e-7); after five steps the values are about 0.7 to 1.2.

    Args:
        matrices: a matrix for each replica, ``(R, out, in)``.
        iterations: steps of Newton-Schulz.
    """
    from hw2exp.optim import newton_schulz  # lazily: the compiler loads slowly

    x = matrices.double() / norms(matrices.flatten(1)).clamp(min=1e-7)[:, None, None]
    tall = x.shape[1] > x.shape[2]
    x = (x.mT if tall else x).contiguous()  # (R, n, m) with n <= m
    x = on_host(lambda own: newton_schulz.orthogonalize(own, iterations), x)
    return (x.mT if tall else x).to(matrices.dtype)
