"""A learning rate that rises linearly, then falls along half a cosine."""

from dataclasses import dataclass

from hw2exp.config.doors import register_schedule
from hw2exp.optim.elementwise import cos_pi
from hw2exp.optim.schedules.warmed_up import WarmedUp
from hw2exp.system.lazy_torch import Tensor


@register_schedule("warmup_cosine")
@dataclass(frozen=True)
class WarmupCosine(WarmedUp):
    """Linear warm-up to the full learning rate, then decay along half a cosine."""

    def remaining(self, progress: Tensor) -> Tensor:
        """Return (1 + cos(π x)) / 2."""
        return (1 + cos_pi(progress)) / 2
