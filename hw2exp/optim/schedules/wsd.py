"""A learning rate that rises, stays, and falls at the end."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from hw2exp.config.doors import register_schedule
from hw2exp.config.knob import per_replica, shared
from hw2exp.models.axes import roots
from hw2exp.optim.schedules.warmed_up import WarmedUp
from hw2exp.system.lazy_torch import Tensor


@register_schedule("wsd")
@dataclass(frozen=True)
class WSD(WarmedUp):
    """Warm-up, a stable learning rate, and decay over the last share of the run.

    Args:
        decay: share of the run that the decay takes, ``(R,)``.
        shape: ``linear``: 1 - x;  ``sqrt``: 1 - √x, with the progress x of the decay.

    Source: Hu et al. 2024, "MiniCPM", arXiv:2404.06395, §4.2, for the three stages; Hägele et al.
    2024, "Scaling laws and compute-optimal training beyond fixed training durations",
    arXiv:2405.18392, eq. 1 and §3.2, for both shapes.
    """

    decay: Annotated[
        Tensor, per_replica("share of the run in which the learning rate falls", gt=0, le=1)
    ]
    shape: Annotated[Literal["linear", "sqrt"], shared("how it falls: 1 - x or 1 - √x")]

    @staticmethod
    def contradictions(knobs: Any, config: Any) -> list[str]:
        """Return the problem of a rise that leaves no time for the fall."""
        ends = knobs.warmup_steps + knobs.decay * config.steps
        if knobs.warmup_steps < config.steps and ends < config.steps + 1e-6:
            return []
        return [
            f"schedule.warmup_steps={knobs.warmup_steps}: must end before the decay, which takes "
            f"the last {knobs.decay} of steps={config.steps}"
        ]

    def progress(self, updates: int) -> Tensor:
        """Return the progress of the decay, 0 before it begins, ``(R,)``."""
        fall = self.steps * self.decay
        return ((updates - (self.steps - fall)) / fall).clamp(min=0)

    def remaining(self, progress: Tensor) -> Tensor:
        """Return 1 - x or 1 - √x."""
        return 1 - (roots(progress) if self.shape == "sqrt" else progress)
