"""Define schedules with a warm-up: a rise, then a fall to a least factor."""

from dataclasses import dataclass
from typing import Annotated, Any

from hw2exp.config.knob import per_replica
from hw2exp.models.axes import State
from hw2exp.optim.schedules.protocol import Schedule
from hw2exp.system.lazy_torch import Tensor, torch


@dataclass(frozen=True)
class WarmedUp(Schedule):
    """Linear warm-up to the full learning rate, then a fall that :meth:`remaining` shapes.

    Args:
        min_factor: the factor at the end, ``(R,)``.
        warmup_steps: updates before the full learning rate is reached, ``(R,)``.

    Source: Goyal et al. 2017, §2.2, for the warm-up.
    """

    spans_run = True

    min_factor: Annotated[
        Tensor, per_replica("share of the learning rate that is left at the end", ge=0, le=1)
    ]
    warmup_steps: Annotated[Tensor, per_replica("steps of the rise", int, ge=0)]

    @staticmethod
    def contradictions(knobs: Any, config: Any) -> list[str]:
        """Return the problem of a rise that outlasts the run."""
        if knobs.warmup_steps < config.steps:
            return []
        return [f"schedule.warmup_steps={knobs.warmup_steps}: must be below steps={config.steps}"]

    def at(self, updates: int, state: State) -> Tensor:
        """Return (t + 1) / (warmup + 1) during warm-up, then min + (1 - min) · remaining."""
        rise = (updates + 1) / (self.warmup_steps + 1).double()
        fall = self.min_factor + (1 - self.min_factor) * self.remaining(self.progress(updates))
        return torch.where(updates < self.warmup_steps, rise, fall)

    def progress(self, updates: int) -> Tensor:
        """Return the progress of the fall, from 0 to 1 but below 0 during warm-up, ``(R,)``."""
        return (updates - self.warmup_steps) / (self.steps - self.warmup_steps).double()

    def remaining(self, progress: Tensor) -> Tensor:
        """Return what remains of the fall's height, from 1 to 0.

        Args:
            progress: progress from 0 to 1, ``(R,)``.
        """
        raise NotImplementedError
