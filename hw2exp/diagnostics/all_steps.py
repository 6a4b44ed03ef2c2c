"""The Jacobians of all steps of a trajectory, taken side by side in the batch axis."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hw2exp.diagnostics.trajectory import Trajectory, floating, leaves, numbers
from hw2exp.models.cell import Carry
from hw2exp.stabilizers.norm import NormPass

AT_ONCE = 1 << 16
"""Elements of the Jacobians that one pass back makes; for more, a pass a row is faster."""


class AllSteps:
    """The steps of a trajectory, each from where it began.

    Args:
        run: the trajectory, recorded without autograd.
    """

    def __init__(self, run: Trajectory) -> None:
        self.run, self.norm = run, _AllAtOnce(run.norm, run.x.shape[1])
        self.carries = tuple(torch.cat(parts, 1) for parts in zip(*run.carries[:-1], strict=True))

    def state_jacobians(self) -> Tensor:
        """∂h[t]/∂h[t-1], the rest of what is handed on held fixed, ``(R, B, T-1, H, H)``.

        Two steps are taken, so that h[t-1] stands between them, and what goes around it is not
        followed.
        """
        copies = self._copies(self.run.cell.hidden_size)
        carries = self._copied(self.carries, copies)
        with torch.enable_grad():
            state, after = self._take(leaves(carries), copies)
            later, _ = self._take(self._one_later(carries, after, copies), copies)
            return self._rows(later, (state,), copies)[:, :, :-1]

    def carry_rows(self) -> "CarryRows":
        """What a step hands on, by what the step before did."""
        copies = self._copies(numbers(self.carries).shape[-1])
        with torch.enable_grad():
            before = leaves(self._copied(self.carries, copies))
            after = floating(self._take(before, copies)[1])
            before = floating(before)
            # What a step hands on as it was given needs no pass back.
            made = tuple(part for part in after if not any(part is old for old in before))
            rows = self._rows(numbers(made), before, copies)[:, :, 1:]
        sizes = [part[0, 0].numel() for part in (*made, *before)]
        places = torch.split(torch.arange(sum(sizes), device=rows.device), sizes)
        place_of = {id(p): place for p, place in zip((*made, *before), places, strict=True)}
        return CarryRows(rows, torch.cat([place_of[id(part)] for part in after]))

    def _copies(self, columns: int) -> int:
        """How many rows of each Jacobian to make at once; their bits are the same for any."""
        R, T, B, _ = self.run.x.shape
        return max(1, min(columns, AT_ONCE // (R * T * B * columns)))

    def _copied(self, tensors: Carry, copies: int) -> Carry:
        return tuple(part.repeat_interleave(copies, 1) for part in tensors)

    def _take(self, carries: Carry, copies: int) -> tuple[Tensor, Carry]:
        """Advance all, each so many times over; states ``(R, T B copies, H)``."""
        # As leaves, so that a state is a node of autograd even where it depends on nothing else.
        inputs = self._copied(tuple(term.flatten(1, 2) for term in self.run.inputs), copies)
        return self.run.cell.step(self.run.params, leaves(inputs), carries, self.norm)

    def _one_later(self, carries: Carry, after: Carry, copies: int) -> Carry:
        """What each step has handed on, in the place of the next; the first keeps its own."""
        first = self.run.x.shape[2] * copies
        pairs = zip(carries, after, strict=True)
        return tuple(torch.cat((old[:, :first], new[:, :-first]), 1) for old, new in pairs)

    def _rows(self, outputs: Tensor, of: Carry, copies: int) -> Tensor:
        """∂outputs/∂of, ``(R, B, T, ·, ·)``: a pass back makes a row of every copy."""
        (R, T, B, _), size = self.run.x.shape, outputs.shape[-1]
        passes = -(-size // copies)
        of_copy = torch.eye(passes * copies, size).to(outputs).view(passes, copies, size)
        rows = [
            numbers(
                torch.autograd.grad(
                    outputs,
                    of,
                    own.repeat(T * B, 1).expand_as(outputs),
                    retain_graph=True,
                    materialize_grads=True,
                )
            ).view(R, T, B, copies, -1)
            for own in of_copy
        ]
        # Stacked as they are, which is faster than row by row into each Jacobian.
        return torch.stack(rows).movedim(0, 3).flatten(3, 4)[:, :, :, :size].transpose(1, 2)


@dataclass(frozen=True)
class CarryRows:
    """The Jacobians of what is handed on, without what a step hands on as it was given.

    Args:
        made: the rows of the rest, for t = 2 … T, ``(R, B, T-1, M, S)``.
        source: which of these a row is, or from M on which of what was given, ``(S,)``.
    """

    made: Tensor
    source: Tensor

    def matrices(self) -> Tensor:
        """The whole Jacobians, ``(R, B, T-1, S, S)``."""
        given = torch.eye(len(self.source)).to(self.made).expand(*self.made.shape[:3], -1, -1)
        return torch.cat((self.made, given), -2)[..., self.source, :]

    def move(self, t: int, directions: Tensor) -> Tensor:
        """The product of a step's Jacobian and directions.

        Args:
            t: the time step, from 1.
            directions: ``(R, B, S, n)``.
        """
        given = directions.mT  # (R, B, n, S)
        # Not by matmul, which rounds a lone column of a lone replica differently.
        made = (self.made[:, :, t - 1, None] * given[..., None, :]).sum(-1)  # (R, B, n, M)
        return torch.cat((made, given), -1)[..., self.source].mT


@dataclass(frozen=True)
class _AllAtOnce(NormPass):
    """Normalizes all time steps at once where they stand in the batch axis."""

    norm: NormPass
    time_steps: int

    def __call__(self, term: str, value: Tensor) -> Tensor:
        R, rows, *features = value.shape
        apart = value.view(R, self.time_steps, rows // self.time_steps, *features)
        return self.norm(term, apart).flatten(1, 2)
