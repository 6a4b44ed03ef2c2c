"""A learning rate that rises linearly, then falls along half a cosine."""

from dataclasses import dataclass
from typing import Annotated, Any

from hw2exp.config.doors import register_schedule
from hw2exp.config.knob import per_replica
from hw2exp.models.axes import State
from hw2exp.optim.schedules.cosine import Cosine
from hw2exp.system.lazy_torch import Tensor, torch


@register_schedule("warmup_cosine")
@dataclass(frozen=True)
class WarmupCosine(Cosine):
    """Linear warm-up to the full learning rate, then decay along half a cosine.

    Args:
        warmup_steps: updates before the full learning rate is reached, ``(R,)``.

    Source: Goyal et al. 2017, §2.2, for the warm-up.
    """

    warmup_steps: Annotated[Tensor, per_replica("steps of the rise", int, ge=0)]

    @staticmethod
    def contradictions(knobs: Any, config: Any) -> list[str]:
        """Return the problem of a rise that outlasts the run."""
        if knobs.warmup_steps < config.steps:
            return []
        return [f"schedule.warmup_steps={knobs.warmup_steps}: must be below steps={config.steps}"]

    def at(self, updates: int, state: State) -> Tensor:
        """Return (t + 1) / (warmup + 1) during warm-up, then the half cosine over the rest."""
        rise = (updates + 1) / (self.warmup_steps + 1).double()
        return torch.where(updates < self.warmup_steps, rise, self.anneal(self.progress(updates)))

    def progress(self, updates: int) -> Tensor:
        """Return the progress of the decay, from 0 to 1 but below 0 during warm-up, ``(R,)``."""
        return (updates - self.warmup_steps) / (self.steps - self.warmup_steps).double()
