"""Hold the state of a fleet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from hw2exp.models.axes import State


@dataclass(frozen=True)
class FleetState:
    """Everything that a step changes; R is the first axis of every tensor.

    Args:
        params: the parameters in rows, ``(R, P)``.
        optimizer: the optimizer's state.
        clip: the clipping's state.
        schedule: the schedule's state.
        active: mask of the replicas that still train, ``(R,)``.
        step: the last step of each replica, ``(R,)``.
        diverged_at: the step at which a replica turned non-finite, or 0, ``(R,)``.
        solved_at: the step of the test pass at which the task counted as solved, or 0, ``(R,)``.
        passes: consecutive test passes that reached the required accuracy, ``(R,)``.
    """

    params: Tensor
    optimizer: State
    clip: State
    schedule: State
    active: Tensor
    step: Tensor
    diverged_at: Tensor
    solved_at: Tensor
    passes: Tensor

    @classmethod
    def initial(
        cls, params: Tensor, optimizer: State, clip: State, schedule: State
    ) -> "FleetState":
        """Return the state before the first step.

        Args:
            params: the parameters in rows, ``(R, P)``.
            optimizer: the optimizer's initial state.
            clip: the clipping's initial state.
            schedule: the schedule's initial state.
        """
        never = torch.zeros(len(params), dtype=torch.int64, device=params.device)
        active = torch.ones(len(params), dtype=torch.bool, device=params.device)
        return cls(params, optimizer, clip, schedule, active, never, never, never, never)

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name; those of a part have a prefix, as ``optimizer.mean``."""
        named: dict[str, Tensor] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, dict):
                named |= {f"{each.name}.{name}": tensor for name, tensor in value.items()}
            else:
                named[each.name] = value
        return named

    def with_tensors(self, named: Mapping[str, Tensor]) -> "FleetState":
        """Return a state of the same structure with other tensors.

        Args:
            named: tensors by name, as :meth:`tensors` returns them.
        """
        values: dict[str, Any] = {}
        for each in fields(self):
            own = getattr(self, each.name)
            if isinstance(own, dict):
                values[each.name] = {name: named[f"{each.name}.{name}"] for name in own}
            else:
                values[each.name] = named[each.name]
        return FleetState(**values)

    def finite(self) -> Tensor:
        """Return whether each replica's parameters, optimizer and clip are finite, ``(R,)``."""
        tensors = [
            self.params,
            *self.optimizer.values(),
            *self.clip.values(),
        ]
        # The largest absolute value of a row is NaN or infinite if any number in the row is.
        numbers = [t for t in tensors if t[0].numel() and t.dtype != torch.bool]
        largest = [t.reshape(len(t), -1).abs().amax(1).double() for t in numbers]
        return torch.stack(largest).isfinite().all(0)

    def after(self, step: int, sound: Tensor) -> "FleetState":
        """Return the state with a step's number; replicas that diverged no longer train in it.

        Args:
            step: the step that led to this state.
            sound: mask of the replicas whose numbers are finite, ``(R,)``.
        """
        return replace(
            self,
            active=sound,
            step=torch.full_like(self.step, step),
            diverged_at=torch.where(sound, self.diverged_at, step),
        )

    def where(self, keep: Tensor, other: "FleetState") -> "FleetState":
        """Return this state's replicas where ``keep`` is true, and the other's elsewhere.

        Args:
            keep: mask, ``(R,)``.
            other: a state of the same fleet.
        """
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        return FleetState(**{name: _select(keep, *pair) for name, pair in pairs.items()})

    def take(self, rows: Tensor) -> "FleetState":
        """Return the state of some replicas.

        Args:
            rows: indices, or a mask ``(R,)``.
        """
        return FleetState(**{f.name: _take(getattr(self, f.name), rows) for f in fields(self)})


def concatenate(states: Sequence[FleetState]) -> FleetState:
    """Join states along R.

    Args:
        states: states of fleets of the same shape.
    """
    columns = {f.name: [getattr(state, f.name) for state in states] for f in fields(FleetState)}
    return FleetState(**{name: _concatenate(column) for name, column in columns.items()})


def _select(keep: Tensor, mine: Any, other: Any) -> Any:
    if isinstance(mine, dict):
        return {name: _select(keep, mine[name], other[name]) for name in mine}
    return torch.where(keep.reshape(-1, *[1] * (mine.dim() - 1)), mine, other)


def _take(value: Any, rows: Tensor) -> Any:
    if isinstance(value, dict):
        return {name: tensor[rows] for name, tensor in value.items()}
    return value[rows]


def _concatenate(values: Sequence[Any]) -> Any:
    if isinstance(values[0], dict):
        return {name: torch.cat([value[name] for value in values]) for name in values[0]}
    return torch.cat(list(values))
