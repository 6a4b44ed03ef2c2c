"""Looks into the steps of a fleet, as often as its config says, and keeps what it has seen."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.gradient_flow import growth
from hw2exp.diagnostics.heat_map import heat_map
from hw2exp.diagnostics.internals import internals
from hw2exp.diagnostics.jacobian import jacobian_growth
from hw2exp.diagnostics.ring import Entry, Named, Ring
from hw2exp.diagnostics.sharpness import sharpness
from hw2exp.diagnostics.spikes import Spike
from hw2exp.fleet import Fleet
from hw2exp.records.diagnostics import NUMBERS, DiagnosticsTable, Value
from hw2exp.records.kept_spikes import KeptSpike, read_kept, write_kept
from hw2exp.records.tensorboard import EventWriter
from hw2exp.training import Made

PROBE_SEQUENCES = 1
"""Sequences of the batch along which Jacobians are taken: they tell much the same."""

IMAGES = (
    ("gradient_flow", "gradient_flow", True),
    ("attention", "attention", False),
    ("jacobian_product", "jacobian_product", True),
)
"""Columns of the table, their images' tags, and whether colors go by logarithms."""

Columns = dict[str, Tensor | NDArray[Any]]


def inspects(config: TrainConfig) -> bool:
    """Whether anything of a run is looked into.

    Args:
        config: the run.
    """
    own = config.diagnostics
    wanted = own.seeds is None or config.seed in own.seeds
    cadences = (own.flow_every, own.cell_every, own.jacobian_every, own.sharpness_every)
    return wanted and any((*cadences, own.histogram_every, own.spikes))


def due(every: int, step: int) -> bool:
    """Whether a diagnostic is due: at the first step, and then every so many.

    Args:
        every: its cadence; 0 is never.
        step: the training step.
    """
    return every > 0 and (step == 1 or step % every == 0)


class Inspection:
    """Looks into every step that is made.

    Args:
        fleet: the runs, of which those that are looked into may be a few.
        events: TensorBoard's file of each.
        searched: steps that are searched for spikes at once.
        tables: the diagnostics so far of those that go on.
    """

    def __init__(
        self,
        fleet: Fleet,
        events: Mapping[int, EventWriter],
        searched: int,
        tables: Mapping[int, DiagnosticsTable],
    ) -> None:
        self.fleet = fleet
        self.events = events
        self.options = fleet.config.diagnostics
        self.watched = [
            int(member)
            for member, config in zip(fleet.members, fleet.configs, strict=True)
            if inspects(config)
        ]
        self.tables = {member: tables.get(member, DiagnosticsTable()) for member in self.watched}
        self.kept: dict[int, list[KeptSpike]] = {member: [] for member in self.watched}
        self.ring = Ring(fleet.layout, searched + self.options.steps_before + 1)
        self._known = dict.fromkeys(self.watched, 0)
        self._written: dict[int, int] = {}
        self._probe: Fleet | None = None

    def wants_flow(self, step: int) -> bool:
        """Whether a step is to say how the gradient flows through time."""
        return due(self.options.flow_every, step)

    def inspect(self, step: int, made: Made) -> None:
        """Look into a step: what is due of it, and a place in the ring."""
        rows = np.flatnonzero(np.isin(self.fleet.members, self.watched))
        if not len(rows):
            return
        members = self.fleet.members[rows]
        if len(rows) < len(self.fleet.members):
            made = _take(made, torch.from_numpy(rows).to(made.grads.device))
        if self.options.spikes:
            self.ring.push(Entry(step, members, made.before, made.grads))
        columns = self._columns(step, made, members)
        if columns:
            lists = {name: values.tolist() for name, values in columns.items()}  # by replica
            for row, member in enumerate(map(int, members)):
                found = {name: own[row] for name, own in lists.items()}
                self.tables[member].append(step, found)
                self._show(member, step, found)
        if due(self.options.histogram_every, step):
            self._draw(step, made, members)

    def _columns(self, step: int, made: Made, members: NDArray[np.int64]) -> Columns:
        options, columns = self.options, Columns()
        if made.flow is not None:
            flow = made.flow.cpu().numpy()  # (R, T)
            columns["gradient_flow"] = flow
            columns["gradient_growth"], columns["gradient_growth_r2"] = growth(flow)
            columns["gradient_largest"] = flow.max(1)
        looks = options.cell_every, options.jacobian_every, options.sharpness_every
        if not any(due(every, step) for every in looks):
            return columns
        probe = self._fleet_of(members)
        probe.state = made.before
        if due(options.cell_every, step):
            found = internals(probe.model, probe.params, made.before.buffers, made.symbols)
            columns |= {name: value for name, value in vars(found).items() if value is not None}
        if due(options.jacobian_every, step):
            few = made.symbols[:, :PROBE_SEQUENCES]
            grown = jacobian_growth(probe.model, probe.params, made.before.buffers, few)
            columns["jacobian_norm"], columns["jacobian_product"] = grown.step, grown.product
            columns["jacobian_largest"], columns["lyapunov"] = grown.step.amax(1), grown.exponent
        if due(options.sharpness_every, step):
            probe.state = replace(made.before, optimizer=made.after.optimizer)  # the step's own
            factor = probe.schedule.factor(step - 1, made.before.schedule)  # (R,)
            sharp = sharpness(probe, made.symbols, made.labels, probe.optimizer.lr * factor)
            columns["sharpness"] = sharp.raw.value
            columns["sharpness_preconditioned"] = sharp.preconditioned.value
            columns["sharpness_limit"] = sharp.limit
        return columns

    def _fleet_of(self, members: NDArray[np.int64]) -> Fleet:
        """A fleet of those that are looked into, whose state is free to be set."""
        if self._probe is None:
            configs = dict(zip(map(int, self.fleet.members), self.fleet.configs, strict=True))
            self._probe = Fleet([configs[int(member)] for member in members], self.fleet.device)
            self._probe.members = members
        gone = ~np.isin(self._probe.members, members)
        if gone.any():
            self._probe.leave(torch.from_numpy(gone).to(self.fleet.device))
        return self._probe

    def _show(self, member: int, step: int, row: Mapping[str, Value]) -> None:
        numbers = {NUMBERS[name][0]: v for name, v in row.items() if isinstance(v, float)}
        if numbers:
            self.events[member].scalars(step, numbers)

    def _draw(self, step: int, made: Made, members: NDArray[np.int64]) -> None:
        """Histograms of parameters and gradients, and what was seen of the flow so far."""
        parts = {
            "parameters": self.fleet.layout.unflatten(made.before.params.cpu()),
            "gradients": self.fleet.layout.unflatten(made.grads.cpu()),
        }
        for row, member in enumerate(map(int, members)):
            for kind, tensors in parts.items():
                for name, values in tensors.items():
                    self.events[member].histogram(f"{kind}/{name}", values[row].numpy(), step)
            self.draw_images(member, step)

    def draw_images(self, member: int, step: int) -> None:
        """Draw what a run's diagnostics have shown so far.

        Args:
            member: the run.
            step: up to where.
        """
        for name, tag, logarithmic in IMAGES:
            steps, columns = self.tables[member].list_column(name)
            if shown := [column for at, column in zip(steps, columns, strict=True) if at <= step]:
                self.events[member].image(tag, heat_map(shown, logarithmic), step)

    def show_again(self, member: int) -> None:
        """Write what was measured to a new file of TensorBoard's; histograms are lost.

        Args:
            member: the run.
        """
        for step, row in self.tables.get(member, ()):
            self._show(member, step, row)
            if due(self.options.histogram_every, step):
                self.draw_images(member, step)

    def keep(self, member: int, spikes: Sequence[Spike]) -> None:
        """Keep what led to spikes that were not known before.

        Args:
            member: the run.
            spikes: all of its spikes so far.
        """
        if member not in self.kept:
            return
        for number in range(self._known[member] + 1, min(len(spikes), self.options.spikes) + 1):
            start, before = spikes[number - 1].start, self.options.steps_before
            self.kept[member].append(self.ring.keep(member, number, start, before))
        self._known[member] = len(spikes)

    def write_kept(self, member: int, folder: Path) -> None:
        """Write what was kept of spikes, where there is more than was written.

        Args:
            member: the run.
            folder: its run folder.
        """
        if len(kept := self.kept.get(member, [])) > self._written.get(member, 0):
            write_kept(folder, kept)
            self._written[member] = len(kept)

    def finish(self, member: int, folder: Path) -> None:
        """Write what was seen of a run that has ended.

        Args:
            member: the run.
            folder: its run folder.
        """
        if member in self.tables:
            self.tables[member].write(folder)
            self.write_kept(member, folder)

    def saved(self, member: int) -> Named:
        """What a checkpoint has to hold of a run besides its table.

        Args:
            member: the run.
        """
        if member not in self.tables or not self.options.spikes:
            return {}
        return self.ring.saved(member, self.options.steps_before)

    def restore(self, step: int, saved: Mapping[int, Named], known: Mapping[int, int]) -> None:
        """Go on from checkpoints.

        Args:
            step: the last step that was made.
            saved: of each run what :meth:`saved` gave.
            known: how many spikes each had.
        """
        members = [member for member in self.watched if saved.get(member)]
        self.ring.restore(step, members, [saved[m] for m in members], self.fleet.state)
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


def _take(made: Made, rows: Tensor) -> Made:
    """Of some of the replicas."""
    return Made(
        before=made.before.take(rows),
        after=made.after.take(rows),
        symbols=made.symbols[rows],
        labels=made.labels[rows],
        grads=made.grads[rows],
        flow=None if made.flow is None else made.flow[rows],
    )
