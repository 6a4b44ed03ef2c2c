"""Define the interface of a learning-rate schedule."""

from dataclasses import dataclass
from typing import ClassVar

from hw2exp.config.doors import register_schedule
from hw2exp.models.axes import State
from hw2exp.system.lazy_torch import Device, Tensor, torch


@register_schedule("constant")
@dataclass(frozen=True)
class Schedule:
    """A constant learning rate; base class of the schedules, which multiply it by a factor.

    Args:
        steps: training steps of the whole run.
    """

    spans_run: ClassVar[bool] = False
    """True if the factor depends on the number of steps of the whole run."""

    steps: int

    def init(self, replicas: int, device: Device = "cpu") -> State:
        """Return the state before the first step: a one for every replica."""
        return {"one": torch.ones(replicas, dtype=torch.float64, device=device)}

    def at(self, updates: int, state: State) -> Tensor:
        """Return the factor for the next update, ``(R,)`` in float64: 1.

        Args:
            updates: number of previous updates.
            state: state from ``init`` or the last ``observe``.
        """
        return state["one"]

    def observe(self, test_loss: Tensor, state: State) -> State:
        """Return the state after a test pass, unchanged.

        Args:
            test_loss: mean test loss, ``(R,)``.
            state: state from ``init`` or the last ``observe``.
        """
        return state
