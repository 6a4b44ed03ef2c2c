"""A learning rate that falls by a factor at fixed intervals."""

from dataclasses import dataclass
from typing import Annotated

from hw2exp.config.doors import register_schedule
from hw2exp.config.knob import per_replica
from hw2exp.models.axes import State
from hw2exp.optim.elementwise import power
from hw2exp.optim.schedules.protocol import Schedule
from hw2exp.system.lazy_torch import Tensor


@register_schedule("step")
@dataclass(frozen=True)
class StepDecay(Schedule):
    """Decay by γ at fixed intervals, as in ``torch.optim.lr_scheduler.StepLR``.

    Args:
        every: steps between two decays, ``(R,)``.
        gamma: factor of one decay, γ, ``(R,)``.
    """

    every: Annotated[Tensor, per_replica("steps between two falls", int, ge=1)]
    gamma: Annotated[Tensor, per_replica("factor of one fall", gt=0, le=1)]

    def at(self, updates: int, state: State) -> Tensor:
        """Return γ^⌊t / every⌋."""
        return power(self.gamma, updates // self.every)
