"""Keeps, of the runs that are looked into, the steps that led to their first spikes."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hw2exp.diagnostics.ring import Entry, Named, Ring
from hw2exp.diagnostics.spikes import Spike
from hw2exp.fleet import Fleet
from hw2exp.records.kept_spikes import KeptSpike, read_kept, write_kept
from hw2exp.training import Made


class Forensics:
    """The last steps of a fleet, and what was kept of them.

    Args:
        fleet: the runs.
        watched: those that are looked into.
        searched: steps that are searched for spikes at once.
    """

    def __init__(self, fleet: Fleet, watched: Sequence[int], searched: int) -> None:
        self.fleet = fleet
        self.watched = watched
        options = fleet.config.diagnostics
        self.spikes, self.steps_before = options.spikes, options.steps_before
        self.kept: dict[int, list[KeptSpike]] = {member: [] for member in watched}
        self._ring = Ring(fleet.layout, searched + self.steps_before + 1)
        self._known = dict.fromkeys(watched, 0)
        self._written: dict[int, int] = {}

    def push(self, step: int, members: NDArray[np.int64], made: Made) -> None:
        """Take up a step.

        Args:
            step: its number.
            members: the runs that it is of, ``(R,)``.
            made: what it has computed of them.
        """
        if self.spikes:
            self._ring.push(Entry(step, members, made.before, made.grads))

    def keep(self, member: int, spikes: Sequence[Spike]) -> None:
        """Keep what led to spikes that were not known before.

        Args:
            member: the run.
            spikes: all of its spikes so far.
        """
        if member not in self.kept:
            return
        for number in range(self._known[member] + 1, min(len(spikes), self.spikes) + 1):
            start, before = spikes[number - 1].start, self.steps_before
            self.kept[member].append(self._ring.keep(member, number, start, before))
        self._known[member] = len(spikes)

    def write(self, member: int, folder: Path) -> None:
        """Write what was kept of spikes, where there is more than was written.

        Args:
            member: the run.
            folder: its run folder.
        """
        if len(kept := self.kept.get(member, [])) > self._written.get(member, 0):
            write_kept(folder, kept)
            self._written[member] = len(kept)

    def saved(self, member: int) -> Named:
        """What a checkpoint has to hold of a run besides its table.

        Args:
            member: the run.
        """
        if member not in self.kept or not self.spikes:
            return {}
        return self._ring.saved(member, self.steps_before)

    def restore(self, step: int, saved: Mapping[int, Named], known: Mapping[int, int]) -> None:
        """Go on from checkpoints.

        Args:
            step: the last step that was made.
            saved: of each run what :meth:`saved` gave.
            known: how many spikes each had.
        """
        members = [member for member in self.watched if saved.get(member)]
        self._ring.restore(step, members, [saved[m] for m in members], self.fleet.state)
        self._known |= {member: known[member] for member in self.watched}

    def restore_kept(self, member: int, folder: Path) -> None:
        """Take up what a run that goes on had kept; what is lost stays so.

        Args:
            member: the run.
            folder: its run folder.
        """
        with suppress(OSError, ValueError):
            kept = [spike for spike in read_kept(folder) if spike.number <= self._known[member]]
            self.kept[member] = kept
            self._written[member] = len(kept)
