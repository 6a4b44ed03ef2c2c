"""The interface of a learning-rate schedule."""

from dataclasses import dataclass
from typing import Protocol

from hw2exp.config import groups
from hw2exp.config.registry import register
from hw2exp.models.axes import State
from hw2exp.system.lazy_torch import Device, Tensor, torch


class Schedule(Protocol):
    """A schedule, which multiplies the learning rate by a factor."""

    def init(self, replicas: int, device: Device = "cpu") -> State:
        """Return the state before the first step."""

    def at(self, updates: int, state: State) -> Tensor:
        """Return the factor for the next update, ``(R,)`` in float64.

        Args:
            updates: number of previous updates.
            state: state from ``init`` or the last ``observe``.
        """

    def observe(self, test_loss: Tensor, state: State) -> State:
        """Return the state after a test pass.

        Args:
            test_loss: mean test loss, ``(R,)``.
            state: state from ``init`` or the last ``observe``.
        """


@register("schedule", "constant", groups.Schedule)
@dataclass(frozen=True)
class Constant:
    """A constant learning rate; base class of the other schedules.

    Args:
        steps: training steps of the whole run.
    """

    steps: int

    def init(self, replicas: int, device: Device = "cpu") -> State:
        """Return a one for every replica."""
        return {"one": torch.ones(replicas, dtype=torch.float64, device=device)}

    def at(self, updates: int, state: State) -> Tensor:
        """Return 1."""
        return state["one"]

    def observe(self, test_loss: Tensor, state: State) -> State:
        """Return the state unchanged."""
        return state
