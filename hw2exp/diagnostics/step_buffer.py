"""Keep the last steps of a fleet until it is known whether they led to a spike."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hw2exp.fleet.state import FleetState
from hw2exp.models.axes import Layout, norms
from hw2exp.records.kept_spikes import KeptSpike

GRADS = "grads"

Named = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Entry:
    """A step of a fleet.

    Args:
        step: the step's number.
        members: the member of each row, ``(R,)``.
        before: the state before the step.
        grads: the step's gradient before clipping, ``(R, P)``.
    """

    step: int
    members: NDArray[np.int64]
    before: FleetState
    grads: Tensor

    def row(self, member: int) -> slice:
        """Return the row of a replica as a slice, which keeps the axis R."""
        (row,) = np.flatnonzero(self.members == member)
        return slice(row, row + 1)


class StepBuffer:
    """The last steps of a fleet, with the training loop's own tensors, not copies.

    Args:
        layout: the layout of a replica's parameters in one row.
        length: the largest number of steps.
    """

    def __init__(self, layout: Layout, length: int) -> None:
        self.layout = layout
        self._entries: deque[Entry] = deque(maxlen=length)

    def push(self, entry: Entry) -> None:
        """Add a step; a full ring drops its oldest."""
        self._entries.append(entry)

    def keep(self, member: int, number: int, start: int, before: int) -> KeptSpike:
        """Return the steps that led to a spike.

        Args:
            member: the member of the replica with the spike.
            number: the spike's number.
            start: the step at which the spike starts.
            before: the number of steps before the start, as far as available.
        """
        own = [e for e in self._entries if start - before <= e.step <= start]
        rows = [entry.row(member) for entry in own]
        params = torch.cat([e.before.params[row] for e, row in zip(own, rows, strict=True)])
        grads = torch.cat([e.grads[row] for e, row in zip(own, rows, strict=True)])  # (n+1, P)
        return KeptSpike(
            number=number,
            start=start,
            first=own[0].step,
            state=on_host({n: value[rows[0]][0] for n, value in own[0].before.tensors().items()}),
            params=params.cpu().numpy(),
            grad_norms=norms_by_tensor(self.layout, grads),
            update_norms=norms_by_tensor(self.layout, params.diff(dim=0)),
        )

    def saved(self, member: int, count: int) -> Named:
        """Return the last steps of a replica for a checkpoint, each tensor ``(n, ...)``.

        Args:
            member: the replica's member.
            count: the largest number of steps.
        """
        own = [(entry, entry.row(member)) for entry in list(self._entries)[-count:]]
        if not own:
            return {}
        columns = [{**entry.before.tensors(), GRADS: entry.grads} for entry, _ in own]
        rows = [row for _, row in own]
        return on_host(
            {
                name: torch.cat([each[name][row] for each, row in zip(columns, rows, strict=True)])
                for name in columns[0]
            }
        )

    def restore(
        self, step: int, members: Sequence[int], saved: Sequence[Named], template: FleetState
    ) -> None:
        """Restore the steps of a checkpoint.

        Args:
            step: the last step before the checkpoint.
            members: the members of the replicas.
            saved: each replica's tensors from :meth:`saved`, all of the same length.
            template: any state of the fleet.
        """
        if not saved or not saved[0]:
            return
        together = {
            name: torch.from_numpy(np.stack([own[name] for own in saved], 1)) for name in saved[0]
        }  # (n, R, ...)
        count = len(together[GRADS])
        for place in range(count):
            tensors = {
                name: value[place].to(template.params.device) for name, value in together.items()
            }
            grads = tensors.pop(GRADS)
            before = template.with_tensors(tensors)
            self.push(Entry(step - count + 1 + place, np.array(members), before, grads))


def norms_by_tensor(layout: Layout, rows: Tensor) -> Named:
    """Return the norm of each parameter's part in rows ``(n, P)``, by name, ``(n,)`` in float64."""
    parts = layout.unflatten(rows.cpu())
    return {name: norms(part.flatten(1)).numpy() for name, part in parts.items()}


def on_host(tensors: Mapping[str, Tensor]) -> Named:
    """Return tensors as arrays in the memory of the CPU."""
    return {name: value.cpu().numpy() for name, value in tensors.items()}
