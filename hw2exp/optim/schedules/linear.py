"""A learning rate that falls along a line over the whole run."""

from dataclasses import dataclass

from hw2exp.config.doors import register_schedule
from hw2exp.optim.schedules.warmed_up import WarmedUp
from hw2exp.system.lazy_torch import Tensor


@register_schedule("linear")
@dataclass(frozen=True)
class Linear(WarmedUp):
    """Decay along a line over the whole run, after a linear warm-up, if there is one.

    Source: Defazio et al. 2023, "Optimal linear decay learning rate schedules and further
    refinements", arXiv:2310.07831.
    """

    def remaining(self, progress: Tensor) -> Tensor:
        """Return 1 - x."""
        return 1 - progress
