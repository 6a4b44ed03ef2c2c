"""Keep the steps before the first spikes of each inspected run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hw2exp.diagnostics.step_buffer import Entry, Named, StepBuffer
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.measurements import StepTrace
from hw2exp.records.kept_spikes import KeptSpike, read_kept, write_kept
from hw2exp.records.spike import Spike


class SpikeRecorder:
    """A ring of a fleet's last steps, and the steps kept around spikes.

    Args:
        fleet: the runs.
        watched: the members to inspect.
        searched: the number of steps in a block of the spike search.
    """

    def __init__(self, fleet: Fleet, watched: Sequence[int], searched: int) -> None:
        self.fleet = fleet
        self.watched = watched
        options = fleet.config.diagnostics
        self.spikes, self.steps_before = options.spikes, options.steps_before
        self.kept: dict[int, list[KeptSpike]] = {member: [] for member in watched}
        self._ring = StepBuffer(fleet.layout, searched + self.steps_before + 1)
        self._known = dict.fromkeys(watched, 0)
        self._written: dict[int, int] = {}

    def push(self, step: int, members: NDArray[np.int64], trace: StepTrace) -> None:
        """Add a step to the ring.

        Args:
            step: the training step.
            members: the inspected members that still train, ``(R,)``.
            trace: the tensors of the step, for these members.
        """
        if self.spikes:
            self._ring.push(Entry(step, members, trace.before, trace.grads))

    def keep(self, member: int, spikes: Sequence[Spike]) -> None:
        """Keep the steps that led to each new spike; ``spikes`` are all of the member so far."""
        if member not in self.kept:
            return
        for number in range(self._known[member] + 1, min(len(spikes), self.spikes) + 1):
            start, before = spikes[number - 1].start, self.steps_before
            self.kept[member].append(self._ring.keep(member, number, start, before))
        self._known[member] = len(spikes)

    def write(self, member: int, folder: Path) -> None:
        """Write the kept spikes into the run folder, if there are more than at the last call."""
        if len(kept := self.kept.get(member, [])) > self._written.get(member, 0):
            write_kept(folder, kept)
            self._written[member] = len(kept)

    def saved(self, member: int) -> Named:
        """Return the ring's tensors of a member, for a checkpoint."""
        if member not in self.kept or not self.spikes:
            return {}
        return self._ring.saved(member, self.steps_before)

    def restore(self, step: int, saved: Mapping[int, Named], known: Mapping[int, int]) -> None:
        """Restore the ring from checkpoints.

        Args:
            step: the last step before the checkpoint.
            saved: for each member, the tensors that :meth:`saved` returned.
            known: for each member, the number of spikes so far.
        """
        members = [member for member in self.watched if saved.get(member)]
        self._ring.restore(step, members, [saved[m] for m in members], self.fleet.state)
        self._known |= {member: known[member] for member in self.watched}

    def restore_kept(self, member: int, folder: Path) -> str | None:
        """Read the kept spikes of a resumed run.

        Returns:
            A line about the loss, if the file is damaged.
        """
        try:
            kept = [spike for spike in read_kept(folder) if spike.number <= self._known[member]]
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            return f"{error}; the steps before the first spikes are lost"
        self.kept[member] = kept
        self._written[member] = len(kept)
        return None
