"""A learning rate that falls by a factor at fixed intervals."""

from dataclasses import dataclass

from hw2exp.config import groups
from hw2exp.config.knob import per_replica
from hw2exp.config.registry import register
from hw2exp.models.axes import State
from hw2exp.optim.elementwise import power
from hw2exp.optim.schedules.protocol import Constant
from hw2exp.system.lazy_torch import Tensor


class StepDecayKnobs(groups.Schedule):
    """The knobs of a decay in steps."""

    every: int = per_replica("steps between two falls", ge=1)
    gamma: float = per_replica("factor of one fall", gt=0, le=1)


@register("schedule", "step", StepDecayKnobs)
@dataclass(frozen=True)
class StepDecay(Constant):
    """Decay by γ at fixed intervals, as in ``torch.optim.lr_scheduler.StepLR``.

    Args:
        every: steps between two decays, ``(R,)``.
        gamma: factor of one decay, γ, ``(R,)``.
    """

    every: Tensor
    gamma: Tensor

    def at(self, updates: int, state: State) -> Tensor:
        """Return γ^⌊t / every⌋."""
        return power(self.gamma, updates // self.every)
