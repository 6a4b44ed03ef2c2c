"""SPAM: Adam that clips spikes of single entries and forgets its moments from time to time."""

from dataclasses import dataclass
from typing import Annotated, Any

from hw2exp.config.doors import register_optimizer
from hw2exp.config.knob import per_replica
from hw2exp.models.axes import State, columns, roots
from hw2exp.optim.elementwise import cos_pi
from hw2exp.optim.optimizers.adam import Adam
from hw2exp.system.lazy_torch import Tensor, torch

MOMENTS = ("mean", "mean_square")

START = 0.99
"""The share of the learning rate that a reset takes away at first, as in the authors' code."""


@register_optimizer("spam")
@dataclass(frozen=True)
class SPAM(Adam):
    """Spike-aware Adam with momentum reset. Otherwise as :class:`Adam`.

    Where g² > θ s, with the second moments s of the update before, g becomes sign(g) √(θ s). In
    update T, 2T, … both moments begin anew from 0; the learning rate, and with it a decoupled
    decay, then rises along half a cosine.

    As in the authors' code, spikes are clipped only from some update on after the start and after
    each reset, when s is a meaningful mean, and the bias corrections count all updates. Unlike in
    that code, an entry whose s is 0 is not clipped: it would stay 0 until the next reset.

    Args:
        threshold: θ, ``(R,)``.
        reset_every: updates between two resets, ΔT, ``(R,)``.
        warmup_steps: updates of the rise after a reset, N, ``(R,)``.
        clip_after: updates after the start or a reset before spikes are clipped, ``(R,)``.

    Source: Huang et al. 2025, "SPAM: spike-aware Adam with momentum reset for stable LLM
    training", arXiv:2501.06842, algorithm 1.
    """

    threshold: Annotated[
        Tensor, per_replica("squared gradient over second moment above which it is clipped", gt=0)
    ]
    reset_every: Annotated[
        Tensor, per_replica("updates between two resets of the moments", int, ge=2)
    ]
    warmup_steps: Annotated[
        Tensor, per_replica("updates of the learning rate's rise after a reset", int, ge=0)
    ]
    clip_after: Annotated[
        Tensor, per_replica("updates after a reset before spikes are clipped", int, ge=1)
    ]

    @staticmethod
    def contradictions(knobs: Any, config: Any) -> list[str]:
        """Return the problem of resets so frequent that no spike is ever clipped."""
        if knobs.clip_after < knobs.reset_every:
            return []
        return [
            f"optimizer.clip_after={knobs.clip_after}: must be below "
            f"optimizer.reset_every={knobs.reset_every}, or no spike is ever clipped"
        ]

    def update(
        self, params: Tensor, grads: Tensor, state: State, lr: Tensor
    ) -> tuple[Tensor, State]:
        """Reset the moments if it is time, clip spikes, then update as Adam."""
        t = state["updates"] + 1  # (R,)
        since = t % self.reset_every  # (R,), 0 at a reset
        state = forget(state, since == 0)
        clips = columns((t >= self.clip_after) & (since >= self.clip_after), params) > 0  # (R, 1)
        s = state["mean_square"]
        limit = columns(roots(self.threshold), s) * roots(s)  # a root, since g² may overflow
        limit = torch.where(clips & (s > 0), limit, torch.inf)
        rate = torch.where(t < self.reset_every, lr, lr * self._rise(since))
        return super().update(params, grads.clamp(-limit, limit), state, rate)

    def _rise(self, since: Tensor) -> Tensor:
        """Return 1 - 0.99 (1 + cos(π n / (N + 1))) / 2, n updates from a reset, ``(R,)``."""
        progress = (since + 1) / (self.warmup_steps + 1)
        return 1 - START * (1 + cos_pi(progress.clamp(max=1))) / 2


def forget(state: State, now: Tensor) -> State:
    """Return a state of Adam with zero moments for some replicas.

    Args:
        state: the state.
        now: mask of the replicas whose moments begin anew, ``(R,)``.
    """
    return state | {name: torch.where(now[:, None], 0, state[name]) for name in MOMENTS}
