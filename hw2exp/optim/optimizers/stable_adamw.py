"""AdamW with clipped updates."""

from dataclasses import dataclass
from typing import Annotated, Any

from hw2exp.config.doors import register_optimizer
from hw2exp.config.knob import per_replica
from hw2exp.models.axes import Layout, State, columns, means, roots
from hw2exp.optim.optimizers.adam import Adam
from hw2exp.system.lazy_torch import Tensor, torch


@register_optimizer("stable_adamw")
@dataclass(frozen=True)
class StableAdamW(Adam):
    """AdamW that shortens a tensor's step when its gradient outgrows the second moments.

    The step of a tensor, its decay included, is divided by max(1, RMS / d), where
    RMS = √mean(g² / max(ŝ, ε²)). Otherwise as :class:`Adam`.

    Args:
        max_rms: d, which is 1 in the paper, ``(R,)``.

    Source: Wortsman et al. 2023, "Stable and low-precision training for large-scale vision-language
    models", arXiv:2304.13013, algorithm 2.
    """

    rows = False

    max_rms: Annotated[
        Tensor, per_replica("largest root mean square of a tensor's gradient / moments", gt=0)
    ]

    def init(self, params: Any) -> State:
        """Return the state of Adam, in rows."""
        return super().init(Layout.of(params).rows(params))

    def update(self, params: Any, grads: Any, state: State, lr: Tensor) -> tuple[Any, State]:
        """Update as AdamW, then shorten the steps."""
        layout = Layout.of(params)
        before, g = (layout.rows(own) for own in (params, grads))
        moved, after = super().update(before, g, state, lr)  # (R, P)
        root = self.root(after)
        ratios = g / torch.maximum(root, columns(self.eps, root))
        return layout.unflatten(limit_steps(before, moved, ratios, self.max_rms, layout)), after


def limit_steps(
    params: Tensor, moved: Tensor, ratios: Tensor, limit: Tensor | float, layout: Layout
) -> Tensor:
    """Divide the step of each tensor by max(1, RMS / limit), see :class:`StableAdamW`.

    Args:
        params: the parameters before the step, ``(R, P)``.
        moved: the parameters after it, ``(R, P)``.
        ratios: the gradient over the root of its second moments, ``(R, P)``; RMS is the root mean
            square of a tensor's ratios.
        limit: the largest RMS, ``(R,)`` or one for all.
        layout: the layout of the rows.
    """
    scales = []
    for ratio in layout.unflatten(ratios).values():
        rms = roots(means((ratio * ratio).flatten(1)))  # (R,)
        scale = 1 / (rms / limit).clamp(min=1)
        scales.append(columns(scale, ratio).expand_as(ratio))
    scale = layout.flatten(scales)  # (R, P)
    return torch.where(scale == 1, moved, params + (moved - params) * scale)
