"""A learning rate that falls when the test loss stops improving."""

from dataclasses import dataclass
from typing import Annotated

from hw2exp.config.doors import register_schedule
from hw2exp.config.knob import per_replica
from hw2exp.models.axes import State
from hw2exp.optim.schedules.protocol import Schedule
from hw2exp.system.lazy_torch import Device, Tensor, torch


@register_schedule("plateau")
@dataclass(frozen=True)
class Plateau(Schedule):
    """Decay when the test loss stops improving, as in ``ReduceLROnPlateau``.

    Args:
        factor: factor of one decay, ``(R,)``.
        patience: tolerated number of test passes without improvement, ``(R,)``.
        threshold: smallest relative improvement that counts, ``(R,)``.
        min_factor: lower bound of the factor, ``(R,)``.
    """

    factor: Annotated[Tensor, per_replica("factor of one fall", gt=0, lt=1)]
    patience: Annotated[
        Tensor, per_replica("test passes without improvement that are tolerated", int, ge=0)
    ]
    threshold: Annotated[Tensor, per_replica("relative improvement that counts", ge=0, lt=1)]
    min_factor: Annotated[
        Tensor, per_replica("share of the learning rate below which it won't fall", ge=0, le=1)
    ]

    def init(self, replicas: int, device: Device = "cpu") -> State:
        """Return a factor of 1, a best loss of ∞ and zero bad passes for each replica."""
        one = super().init(replicas, device)["one"]
        return {"factor": one, "best": one * torch.inf, "bad_passes": one * 0}

    def at(self, updates: int, state: State) -> Tensor:
        """Return the factor after the test passes so far."""
        return state["factor"]

    def observe(self, test_loss: Tensor, state: State) -> State:
        """Count passes without improvement; decay after more than ``patience``."""
        test_loss = test_loss.double()
        better = test_loss < state["best"] * (1 - self.threshold)  # (R,); never for NaN or ∞
        better &= test_loss.isfinite()  # nor for -∞
        bad_passes = torch.where(better, 0.0, state["bad_passes"] + 1)
        falls = bad_passes > self.patience
        lower = torch.maximum(state["factor"] * self.factor, self.min_factor)
        return {
            "factor": torch.where(falls, lower, state["factor"]),
            "best": torch.where(better, test_loss, state["best"]),
            "bad_passes": torch.where(falls, 0.0, bad_passes),
        }
