"""Hold a spike of the training loss, as results record it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class Spike:
    """A spike of the training loss.

    Args:
        step: the peak's step, counted from 1.
        start: the first step above baseline + margin.
        end: the last step above baseline + margin.
        loss: the loss at the peak.
        median: the baseline at the start.
        above_initial: whether the peak exceeds the loss before training.
    """

    step: int
    start: int
    end: int
    loss: float
    median: float
    above_initial: bool

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return a spike that a result has recorded; ignore further entries."""
        return cls(**{each.name: values[each.name] for each in fields(cls)})
