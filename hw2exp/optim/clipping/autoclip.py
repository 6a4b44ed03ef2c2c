"""Clipping by a percentile of the norms so far."""

from dataclasses import dataclass
from typing import Annotated

from hw2exp.config.doors import register_clip
from hw2exp.config.knob import per_replica, shared
from hw2exp.models.axes import State
from hw2exp.optim.clipping.protocol import Clip, rescale
from hw2exp.system.lazy_torch import Tensor, torch


@register_clip("autoclip")
@dataclass(frozen=True)
class AutoClip(Clip):
    """Clipping of the norm to a percentile of the norms so far, this step's among them.

    The history holds norms before clipping. The paper keeps all of them.

    Args:
        percentile: p, ``(R,)``.
        history: the number of newest norms that are kept.

    Source: Seetharaman et al. 2020, "AutoClip: adaptive gradient clipping for source separation
    networks", arXiv:2007.14469, §3.
    """

    rows = True

    percentile: Annotated[
        Tensor, per_replica("percentile of the norms so far that becomes the limit", ge=0, le=100)
    ]
    history: Annotated[int, shared("how many of the newest norms are kept", ge=1, le=100_000)]

    def init(self, params: Tensor) -> State:
        """Return an empty history, and a zero count of the norms seen."""
        count = torch.zeros(len(params), dtype=torch.float64, device=params.device)
        return {"steps": count, "norms": count[:, None].repeat(1, self.history)}

    def update(
        self, grads: Tensor, params: Tensor, grad_norm: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """Replace the oldest norm in the history by the new one, and clip to the percentile."""
        place = (state["steps"] % self.history)[:, None]  # (R, 1)
        places = torch.arange(self.history, device=place.device)
        kept = torch.where(places == place, grad_norm[:, None], state["norms"])  # (R, history)
        steps = state["steps"] + 1
        seen = steps.clamp(max=self.history)  # (R,)
        limit = percentiles(kept, seen, self.percentile)
        return rescale(grads, grad_norm, limit), {"steps": steps, "norms": kept}


def percentiles(values: Tensor, count: Tensor, percentile: Tensor) -> Tensor:
    """Return a percentile of each row's first values, linear between two of them, ``(R,)``.

    Args:
        values: a row for each replica, ``(R, n)`` in float64.
        count: the number of values of each row that count, ``(R,)``.
        percentile: the percentile of each row, ``(R,)``.
    """
    places = torch.arange(values.shape[1], device=values.device)
    ordered = torch.where(places < count[:, None], values, torch.inf).sort(1).values
    at = percentile / 100 * (count - 1)  # (R,)
    low = at.floor()
    high = torch.minimum(low + 1, count - 1)
    below, above = (ordered.gather(1, i.long()[:, None])[:, 0] for i in (low, high))
    return below + (above - below) * (at - low)
