"""A learning rate that falls along a line over the whole run."""

from dataclasses import dataclass

from hw2exp.config.doors import register_schedule
from hw2exp.optim.schedules.warmup_cosine import WarmupCosine
from hw2exp.system.lazy_torch import Tensor


@register_schedule("linear")
@dataclass(frozen=True)
class Linear(WarmupCosine):
    """Decay along a line over the whole run, after a linear warm-up, if there is one.

    Source: Goyal et al. 2017, §2.2, for the warm-up; Defazio et al. 2023, "Optimal linear decay
    learning rate schedules and further refinements", arXiv:2310.07831, for the line.
    """

    def anneal(self, progress: Tensor) -> Tensor:
        """Return min + (1 - min) (1 - progress).

        Args:
            progress: progress from 0 to 1, ``(R,)``.
        """
        return self.min_factor + (1 - self.min_factor) * (1 - progress)
