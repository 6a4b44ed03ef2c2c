"""QK-Clip: smaller queries and keys where a score of the attention is too large."""

from dataclasses import dataclass
from typing import Annotated, Any

from hw2exp.config import groups
from hw2exp.config.doors import register_clip
from hw2exp.config.knob import per_replica
from hw2exp.models.axes import Params, State, columns, roots
from hw2exp.optim.clipping.protocol import Clip, Scores
from hw2exp.system.lazy_torch import Tensor, torch


@register_clip("qk_clip")
@dataclass(frozen=True)
class QKClip(Clip):
    """A factor √(τ / S) on W_q and on W_k of each head whose largest score S exceeds τ.

    S is the largest qᵀ k of the step's batch, before the update; the factors are applied after it.
    So gradients and the optimizer's state do not change. A head is the input or a lag of
    AttentionRNN(k); AttentionRNN(∞) has one head. These cells have no factor 1/√d before the
    softargmax, unlike the paper.

    Args:
        max_score: τ, ``(R,)``; 100 in the paper.

    Source: Kimi team 2025, "Kimi K2: open agentic intelligence", arXiv:2507.20534, §2.1 and
    algorithm 1, with α = 1/2.
    """

    rows = True
    needs_scores = True

    max_score: Annotated[Tensor, per_replica("score above which a head is clipped", gt=0)]

    @staticmethod
    def contradictions(knobs: Any, config: Any) -> list[str]:
        """Return the problems of a model without queries and keys, and of normalized ones."""
        problems = groups.lacks_attention("clip=qk_clip", config)
        if config.norm.name != "none":
            why = f"norm={config.norm.name} undoes a factor on a matrix"
            problems.append(f"clip=qk_clip: needs norm=none; {why}")
        return problems

    def update(
        self, grads: Tensor, params: Tensor, grad_norm: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """Return the gradients unchanged."""
        return grads, state

    def finish(self, params: Params, scores: Scores) -> Params:
        """Rescale the matrices of each head whose largest score exceeds τ."""
        after = dict(params)
        for head, largest in scores.items():
            share = self.max_score / largest.double()  # (R,)
            factor = torch.where(largest > self.max_score, roots(share.clamp(min=0)), 1)
            for name in head:
                after[name] = after[name] * columns(factor, after[name])
        return after
