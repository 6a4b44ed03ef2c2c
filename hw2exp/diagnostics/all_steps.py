"""Compute the Jacobians of all steps of a trajectory, side by side in the batch axis."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hw2exp.diagnostics.trajectory import Trajectory, leaves
from hw2exp.models.cell import Carry
from hw2exp.models.normalization import NormPass
from hw2exp.models.stretching import floating, numbers

AT_ONCE = 1 << 16
"""Most Jacobian elements in a backward pass; beyond, one pass for each row is faster."""


class AllSteps:
    """All steps of a trajectory, each from its recorded carry.

    Args:
        run: the trajectory, recorded without autograd.
    """

    def __init__(self, run: Trajectory) -> None:
        self.run, self.norm = run, _AllAtOnce(run.norm, run.x.shape[1])
        self.carries = tuple(torch.cat(parts, 1) for parts in zip(*run.carries[:-1], strict=True))

    def state_jacobians(self) -> Tensor:
        """Return ∂h[t]/∂h[t-1], t = 2 … T, the rest of the carry held fixed, ``(R, B, T-1, H, H)``.

        For an LSTM the rest is c[t-1], for an AttentionRNN the older states (write-up, part 1.2.2
        e). Two steps are taken, so that h[t-1] is a node between them; paths around it don't count.
        """
        copies = self._copies(self.run.cell.hidden_size)
        carries = self._copied(self.carries, copies)
        with torch.enable_grad():
            state, after = self._take(leaves(carries), copies)
            later, _ = self._take(self._one_later(carries, after, copies), copies)
            return self._rows(later, (state,), copies)[:, :, :-1]

    def carry_rows(self) -> "CarryRows":
        """Return the Jacobians of each step's carry with respect to the previous one."""
        copies = self._copies(numbers(self.carries).shape[-1])
        with torch.enable_grad():
            before = leaves(self._copied(self.carries, copies))
            after = floating(self._take(before, copies)[1])
            before = floating(before)
            # Parts of the carry that a step passes on unchanged need no backward pass.
            made = tuple(part for part in after if not any(part is old for old in before))
            rows = self._rows(numbers(made), before, copies)[:, :, 1:]
        sizes = [part[0, 0].numel() for part in (*made, *before)]
        places = torch.split(torch.arange(sum(sizes), device=rows.device), sizes)
        place_of = {id(p): place for p, place in zip((*made, *before), places, strict=True)}
        return CarryRows(rows, torch.cat([place_of[id(part)] for part in after]))

    def _copies(self, columns: int) -> int:
        """Return the number of Jacobian rows to compute at once; the bits don't depend on it."""
        R, T, B, _ = self.run.x.shape
        return max(1, min(columns, AT_ONCE // (R * T * B * columns)))

    def _copied(self, tensors: Carry, copies: int) -> Carry:
        return tuple(part.repeat_interleave(copies, 1) for part in tensors)

    def _take(self, carries: Carry, copies: int) -> tuple[Tensor, Carry]:
        """Advance copies of all steps; return the states ``(R, T B copies, H)`` and the carry."""
        # Inputs are leaves, so that a state is an autograd node even if it depends on nothing else.
        inputs = self._copied(tuple(term.flatten(1, 2) for term in self.run.inputs), copies)
        return self.run.cell.step(self.run.params, leaves(inputs), carries, self.norm)

    def _one_later(self, carries: Carry, after: Carry, copies: int) -> Carry:
        """Shift each step's new carry to the next step; the first step keeps its own."""
        first = self.run.x.shape[2] * copies
        pairs = zip(carries, after, strict=True)
        return tuple(torch.cat((old[:, :first], new[:, :-first]), 1) for old, new in pairs)

    def _rows(self, outputs: Tensor, of: Carry, copies: int) -> Tensor:
        """Return ∂outputs/∂of, ``(R, B, T, ·, ·)``; a backward pass makes one row in each copy."""
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
        # Stacking whole passes is faster than writing each Jacobian row by row.
        return torch.stack(rows).movedim(0, 3).flatten(3, 4)[:, :, :, :size].transpose(1, 2)


@dataclass(frozen=True)
class CarryRows:
    """The Jacobians of the carry, without the rows of parts that a step passes on unchanged.

    Args:
        made: the other rows, for t = 2 … T, ``(R, B, T-1, M, S)``.
        source: each row's index in ``made``, or M plus the index of the number passed on, ``(S,)``.
    """

    made: Tensor
    source: Tensor

    def matrices(self) -> Tensor:
        """Return the whole Jacobians ``(R, B, T-1, S, S)``, in the order of ``numbers``."""
        given = torch.eye(len(self.source)).to(self.made).expand(*self.made.shape[:3], -1, -1)
        return torch.cat((self.made, given), -2)[..., self.source, :]

    def move(self, t: int, directions: Tensor) -> Tensor:
        """Multiply a step's Jacobian by directions.

        Args:
            t: the time step, from 1.
            directions: n directions in columns, ``(R, B, S, n)``.
        """
        given = directions.mT  # (R, B, n, S)
        # Not by matmul, which rounds a single column of a single replica differently.
        made = (self.made[:, :, t - 1, None] * given[..., None, :]).sum(-1)  # (R, B, n, M)
        return torch.cat((made, given), -1)[..., self.source].mT


@dataclass(frozen=True)
class _AllAtOnce(NormPass):
    """A normalization of all time steps at once, laid out along the batch axis."""

    norm: NormPass
    time_steps: int

    def __call__(self, term: str, value: Tensor) -> Tensor:
        R, rows, *features = value.shape
        apart = value.view(R, self.time_steps, rows // self.time_steps, *features)
        return self.norm(term, apart).flatten(1, 2)
