"""A learning rate along half a cosine over the whole run."""

from dataclasses import dataclass
from typing import Annotated

from hw2exp.config.doors import register_schedule
from hw2exp.config.knob import per_replica
from hw2exp.models.axes import State
from hw2exp.optim.elementwise import cos_pi
from hw2exp.optim.schedules.protocol import Schedule
from hw2exp.system.lazy_torch import Tensor, torch


@register_schedule("cosine")
@dataclass(frozen=True)
class Cosine(Schedule):
    """Decay along half a cosine over the whole run, as in ``CosineAnnealingLR``.

    Args:
        min_factor: the factor at the end, ``(R,)``.

    Source: Loshchilov & Hutter 2017, "SGDR", eq. 5, without restarts.
    """

    spans_run = True

    min_factor: Annotated[
        Tensor, per_replica("share of the learning rate that is left at the end", ge=0, le=1)
    ]

    def at(self, updates: int, state: State) -> Tensor:
        """Return min + (1 - min) (1 + cos(π t / steps)) / 2."""
        progress = torch.full_like(self.min_factor, updates / self.steps)
        return self.min_factor + (1 - self.min_factor) * (1 + cos_pi(progress)) / 2
