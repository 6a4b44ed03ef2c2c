"""SGD, RMSprop and Adam on rows: every replica with its own hyperparameters.

Each is ``init`` and ``update``, pure, and equal to the class of ``torch.optim`` of its name.
Factors are computed in float64 and rounded once, to the dtype of the parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from hw2exp.axes import State, columns
from hw2exp.config.schema import Optimizer as OptimizerOptions
from hw2exp.hyperparameters import stack


class Optimizer(Protocol):
    """Turns gradients into new parameters."""

    @property
    def lr(self) -> Tensor:
        """Learning rate before the schedule's factor, ``(R,)``."""

    @property
    def l2(self) -> Tensor:
        """The L2 penalty that adds to the loss's curvature, ``(R,)``."""

    def init(self, params: Tensor) -> State:
        """Make the state before the first update, for parameters ``(R, P)``."""

    def update(
        self, params: Tensor, grads: Tensor, state: State, lr: Tensor
    ) -> tuple[Tensor, State]:
        """Make one update.

        Args:
            params: ``(R, P)``.
            grads: ``(R, P)``.
            state: from ``init`` or the update before.
            lr: the scheduled learning rate, ``(R,)`` in float64.

        Returns:
            The new parameters and the new state.
        """

    def preconditioner(self, state: State) -> Tensor:
        """What the update that made this state divided the gradient by, ``(R, P)``."""

    def stability_limit(self, lr: Tensor) -> Tensor:
        """The curvature above which updates diverge on a quadratic loss, ``(R,)``.

        Args:
            lr: the scheduled learning rate, ``(R,)`` in float64.

        Returns:
            In units of the preconditioner, which is held fixed (Cohen et al. 2022, §2).
        """


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent (Sutskever et al. 2013 for both kinds of momentum).

    Args:
        lr: learning rate, ``(R,)``.
        weight_decay: L2 penalty, ``(R,)``.
        momentum: ``(R,)``.
        nesterov: look ahead along the momentum.
    """

    lr: Tensor
    weight_decay: Tensor
    momentum: Tensor
    nesterov: bool

    @property
    def l2(self) -> Tensor:
        """The weight decay."""
        return self.weight_decay

    def init(self, params: Tensor) -> State:
        """The velocity is zero."""
        return {"velocity": torch.zeros_like(params)}

    def update(
        self, params: Tensor, grads: Tensor, state: State, lr: Tensor
    ) -> tuple[Tensor, State]:
        """v = μ v + g;  θ = θ - lr v, or θ - lr (g + μ v) after Nesterov."""
        g = with_decay(grads, params, self.weight_decay)  # (R, P)
        mu = columns(self.momentum, params)  # (R, 1)
        v = mu * state["velocity"] + g
        direction = g + mu * v if self.nesterov else v
        return params - columns(lr, params) * direction, {"velocity": v}

    def preconditioner(self, state: State) -> Tensor:
        """One."""
        return torch.ones_like(state["velocity"])

    def stability_limit(self, lr: Tensor) -> Tensor:
        """2 (1+μ) / lr; Nesterov's, of z² - (1+μ)(1-x) z + μ(1-x) with x = lr λ, over 1+2μ."""
        return heavy_ball_limit(self.momentum, lr) / (1 + 2 * self.momentum * self.nesterov)


@dataclass(frozen=True)
class RMSprop:
    """RMSprop (Tieleman & Hinton 2012, lecture 6.5), centered after Graves 2013, eq. 38-45.

    Args:
        lr: learning rate, ``(R,)``.
        weight_decay: L2 penalty, ``(R,)``.
        alpha: decay of the mean of squared gradients, ``(R,)``.
        eps: added to its root, ``(R,)``.
        momentum: ``(R,)``.
        centered: divide by the deviation instead of the norm.
    """

    lr: Tensor
    weight_decay: Tensor
    alpha: Tensor
    eps: Tensor
    momentum: Tensor
    centered: bool

    @property
    def l2(self) -> Tensor:
        """The weight decay."""
        return self.weight_decay

    def init(self, params: Tensor) -> State:
        """All means are zero."""
        names = ["mean_square", "velocity"] + ["mean"] * self.centered
        return {name: torch.zeros_like(params) for name in names}

    def update(
        self, params: Tensor, grads: Tensor, state: State, lr: Tensor
    ) -> tuple[Tensor, State]:
        """s = α s + (1-α) g²;  v = μ v + g / (√s + ε);  θ = θ - lr v."""
        g = with_decay(grads, params, self.weight_decay)  # (R, P)
        alpha, rest = columns(self.alpha, params), columns(1 - self.alpha, params)  # (R, 1)
        after = {"mean_square": alpha * state["mean_square"] + rest * g * g}
        if self.centered:
            after["mean"] = alpha * state["mean"] + rest * g
        step = g / self.preconditioner(after)
        after["velocity"] = columns(self.momentum, params) * state["velocity"] + step
        return params - columns(lr, params) * after["velocity"], after

    def preconditioner(self, state: State) -> Tensor:
        """√s + ε, of the variance s - m² where it is centered."""
        spread = state["mean_square"]
        if self.centered:
            spread = spread - state["mean"] ** 2
        return spread.sqrt() + columns(self.eps, spread)

    def stability_limit(self, lr: Tensor) -> Tensor:
        """2 (1+μ) / lr."""
        return heavy_ball_limit(self.momentum, lr)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015, algorithm 1), AdamW (Loshchilov & Hutter 2019) if decoupled.

    Args:
        lr: learning rate, ``(R,)``.
        weight_decay: L2 penalty, or decoupled decay, ``(R,)``.
        beta1: decay of the mean of gradients, ``(R,)``.
        beta2: decay of the mean of squared gradients, ``(R,)``.
        eps: added to its root, ``(R,)``.
        decoupled: shrink the parameters themselves instead of adding to the gradient.
    """

    lr: Tensor
    weight_decay: Tensor
    beta1: Tensor
    beta2: Tensor
    eps: Tensor
    decoupled: bool

    @property
    def l2(self) -> Tensor:
        """The weight decay; none where it is decoupled, which is no part of the gradient."""
        return torch.zeros_like(self.weight_decay) if self.decoupled else self.weight_decay

    def init(self, params: Tensor) -> State:
        """Both moments are zero, and so is the count of updates."""
        return {
            "mean": torch.zeros_like(params),
            "mean_square": torch.zeros_like(params),
            "updates": torch.zeros_like(self.lr),
        }

    def update(
        self, params: Tensor, grads: Tensor, state: State, lr: Tensor
    ) -> tuple[Tensor, State]:
        """m = β₁ m + (1-β₁) g;  s = β₂ s + (1-β₂) g²;  θ = θ - lr m̂ / (√ŝ + ε)."""
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
        return params - rate * after["mean"] / self.preconditioner(after), after

    def preconditioner(self, state: State) -> Tensor:
        """√ŝ + ε."""
        s = state["mean_square"]
        correction = bias_correction(self.beta2, state["updates"])  # (R,)
        return s.sqrt() / columns(correction.sqrt(), s) + columns(self.eps, s)

    def stability_limit(self, lr: Tensor) -> Tensor:
        """2 (1+β₁) / ((1-β₁) lr), once the bias of m is gone."""
        return heavy_ball_limit(self.beta1, lr * (1 - self.beta1))


def bias_correction(beta: Tensor, updates: Tensor) -> Tensor:
    """The share 1 - βᵗ of a running mean that is not its start at zero.

    Args:
        beta: decay of the mean, ``(R,)``.
        updates: t, ``(R,)``.

    Source: Kingma & Ba 2015, §3.
    """
    # Not beta**t: the last bit of torch's pow depends on how many replicas stand beside.
    return -torch.expm1(updates * beta.log())


def heavy_ball_limit(momentum: Tensor, lr: Tensor) -> Tensor:
    """The curvature λ above which v = μ v + λ θ;  θ = θ - lr v diverges, ``(R,)``.

    θ[t+1] = (1 + μ - lr λ) θ[t] - μ θ[t-1] has the polynomial z² - (1 + μ - lr λ) z + μ, one of
    whose roots passes -1 where lr λ = 2 (1 + μ).

    Args:
        momentum: μ, ``(R,)``.
        lr: ``(R,)``.
    """
    return 2 * (1 + momentum) / lr


def with_decay(grads: Tensor, params: Tensor, weight_decay: Tensor) -> Tensor:
    """Add the gradient of the L2 penalty, where there is one.

    Args:
        grads: ``(R, P)``.
        params: ``(R, P)``.
        weight_decay: ``(R,)``.
    """
    # A replica without decay must not see its parameters here: 0 · ∞ would be NaN.
    return torch.where(
        columns(weight_decay, params) > 0, grads + columns(weight_decay, params) * params, grads
    )


OPTIMIZERS: dict[str, type[Any]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam}


def build(options: Sequence[OptimizerOptions], device: torch.device | str = "cpu") -> Optimizer:
    """Make the optimizer of a fleet.

    Args:
        options: the ``optimizer`` section of each replica, length R.
        device: where its tensors go.
    """
    optimizer: Optimizer = OPTIMIZERS[options[0].name](**stack(options, device))
    return optimizer
