"""Run the diagnostics of a fleet at the intervals of its config, and record the results."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hw2exp.config.run_files import DIAGNOSTICS
from hw2exp.diagnostics.gradient_flow import growth
from hw2exp.diagnostics.heat_map import heat_map
from hw2exp.diagnostics.internals import internals
from hw2exp.diagnostics.jacobian import jacobian_growth
from hw2exp.diagnostics.metrics.protocol import Metric, Step
from hw2exp.diagnostics.sharpness import sharpness
from hw2exp.fleet.evaluation import population_statistics
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.measurements import StepTrace
from hw2exp.models.hyperparameters import build
from hw2exp.records.diagnostics import METRIC, DiagnosticsTable, tag_of
from hw2exp.records.step_table import Value
from hw2exp.records.tensorboard import EventWriter
from hw2exp.runs.spike_recorder import SpikeRecorder

ALONG, WITHIN = 1, 8
"""The numbers of the batch's sequences used for Jacobians, and for gates and attention; more change
little. Under batch normalization, gates and attention use the whole batch."""

IMAGES = {
    "gradient_flow": (True, "‖∂ℓ/∂h[t]‖: t = 1 at the top, a column a look; by its logarithm."),
    "attention": (False, "Mean weight: the input at the top, then each lag; a column a look."),
    "jacobian_product": (
        True,
        "‖∂h[T]/∂h[t]‖: t = 1 at the top, a column a look; by its logarithm.",
    ),
}
"""Columns drawn as heat maps: whether the color scale is logarithmic, and the caption."""

Columns = dict[str, Tensor | NDArray[Any]]


def due(every: int, step: int, first: bool = True) -> bool:
    """Return whether a diagnostic is due.

    Args:
        every: steps between two measurements; 0: never.
        step: the training step.
        first: whether the diagnostic is due at step 1 too.
    """
    return every > 0 and (step % every == 0 or (first and step == 1))


class Inspection:
    """An inspector of every training step.

    Args:
        fleet: the runs; perhaps only some of them are inspected.
        events: the TensorBoard file of each member.
        searched: steps in a block of the spike search.
        tables: the diagnostics so far of each resumed member.
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
            if config.inspected
        ]
        self.metric: Metric = build("metric", [fleet.config.metric], fleet.device)
        self.tables = {member: tables.get(member, DiagnosticsTable()) for member in self.watched}
        self.spike_recorder = SpikeRecorder(fleet, self.watched, searched)
        self._probe: Fleet | None = None
        self._of: NDArray[np.int64] | None = None

    def wants_flow(self, step: int) -> bool:
        """Return whether a step must compute the gradient flow, ‖∂ℓ/∂h[t]‖."""
        return due(self.options.flow_every, step)

    def inspect(self, step: int, trace: StepTrace) -> None:
        """Inspect a step: measure the diagnostics that are due, and add the step to the ring."""
        members, rows = self._members_and_rows()
        if not len(members):
            return
        if rows is not None:
            trace = trace.take(rows)
        self.spike_recorder.push(step, members, trace)
        columns = self._columns(step, trace, members) | self._metric(step, trace, members)
        if columns:
            lists = {name: values.tolist() for name, values in columns.items()}  # by replica
            for row, member in enumerate(map(int, members)):
                found = {name: own[row] for name, own in lists.items()}
                self.tables[member].append(step, found)
                self._show(member, step, found)
        if due(self.options.histogram_every, step, first=False):
            self._draw(step, trace, members)

    def _members_and_rows(self) -> tuple[NDArray[np.int64], Tensor | None]:
        """Return the inspected members that still train, and their rows; None for all rows."""
        if self._of is not self.fleet.members:  # a new array when replicas leave
            self._of = self.fleet.members
            rows = np.flatnonzero(np.isin(self._of, self.watched))
            few = len(rows) < len(self._of)
            self._rows = torch.from_numpy(rows).to(self.fleet.device) if few else None
            self._members = self._of[rows]
        return self._members, self._rows

    def _columns(self, step: int, trace: StepTrace, members: NDArray[np.int64]) -> Columns:
        options, columns = self.options, Columns()
        if trace.flow is not None:
            flow = trace.flow.cpu().numpy()  # (R, T)
            columns["gradient_flow"] = flow
            columns["gradient_growth"], columns["gradient_growth_r2"] = growth(flow)
            columns["gradient_largest"] = flow.max(1)
        sharpens = due(options.sharpness_every, step, first=False)
        if not (due(options.cell_every, step) or due(options.jacobian_every, step) or sharpens):
            return columns
        probe = self._fleet_of(members)
        probe.state = trace.before
        if due(options.cell_every, step):
            whole = probe.model.normalization.over_batch
            few = trace.symbols if whole else trace.symbols[:, :WITHIN]
            found = internals(probe.model, probe.params, few)
            columns |= {name: value for name, value in vars(found).items() if value is not None}
        if due(options.jacobian_every, step):
            few = trace.symbols[:, :ALONG]
            statistics = population_statistics(probe, step)
            grown = jacobian_growth(probe.model, probe.params, few, statistics)
            columns["jacobian_norm"], columns["jacobian_product"] = grown.step, grown.product
            columns["jacobian_largest"] = grown.step.amax(1)
            columns["lyapunov"], columns["lyapunov_spread"] = grown.exponent, grown.spread
        if sharpens:
            probe.state = replace(trace.before, optimizer=trace.after.optimizer)  # the step's own
            factor = probe.schedule.at(step - 1, trace.before.schedule)  # (R,)
            sharp = sharpness(probe, trace.symbols, trace.labels, probe.optimizer.lr * factor)
            columns["sharpness"] = sharp.raw.found
            columns["sharpness_preconditioned"] = sharp.preconditioned.found
            columns["sharpness_limit"] = sharp.limit
        return columns

    def _metric(self, step: int, trace: StepTrace, members: NDArray[np.int64]) -> Columns:
        """Measure the columns of the metric, if it is due."""
        if self.fleet.config.metric.name == "none" or not due(self.metric.every, step):
            return {}
        found = self.metric.measure(Step.of(trace, self._fleet_of(members).model))
        return {f"{METRIC}{name}": column.double() for name, column in found.items()}

    def _fleet_of(self, members: NDArray[np.int64]) -> Fleet:
        """Return a fleet of the inspected members, whose state the caller may set."""
        if self._probe is None:
            configs = dict(zip(map(int, self.fleet.members), self.fleet.configs, strict=True))
            self._probe = Fleet([configs[int(member)] for member in members], self.fleet.device)
            self._probe.members = members
        gone = ~np.isin(self._probe.members, members)
        if gone.any():
            self._probe.leave(torch.from_numpy(gone).to(self.fleet.device))
        return self._probe

    def _show(self, member: int, step: int, row: Mapping[str, Value]) -> None:
        numbers = {tag_of(name): v for name, v in row.items() if isinstance(v, float)}
        if numbers:
            self.events[member].scalars(step, numbers)

    def _draw(self, step: int, trace: StepTrace, members: NDArray[np.int64]) -> None:
        """Write histograms of parameters and gradients, and the heat maps so far."""
        parts = {
            "parameters": self.fleet.layout.unflatten(trace.before.params.cpu()),
            "gradients": self.fleet.layout.unflatten(trace.grads.cpu()),
        }
        for row, member in enumerate(map(int, members)):
            for kind, tensors in parts.items():
                for name, values in tensors.items():
                    self.events[member].histogram(f"{kind}/{name}", values[row].numpy(), step)
            self.draw_images(member, step)

    def draw_images(self, member: int, step: int) -> None:
        """Draw the heat maps of a run's diagnostics so far.

        Args:
            member: the member.
            step: the last step to draw.
        """
        for name, (logarithmic, about) in IMAGES.items():
            steps, columns = self.tables[member].list_column(name)
            if shown := [column for at, column in zip(steps, columns, strict=True) if at <= step]:
                pixels = heat_map(shown, logarithmic)
                self.events[member].image(f"heat_map/{name}", pixels, step, about)

    def show_again(self, member: int) -> None:
        """Write the measurements so far to a new TensorBoard file; histograms are lost."""
        for step, row in self.tables.get(member, ()):
            self._show(member, step, row)
            if due(self.options.histogram_every, step, first=False):
                self.draw_images(member, step)

    def finish(self, member: int, folder: Path, last: int | None) -> None:
        """Write the diagnostics of a run that has ended.

        Args:
            member: the member.
            folder: the run folder.
            last: the run's last step, up to which the heat maps are drawn; None if the run was
                interrupted.
        """
        if member in self.tables:
            every = self.options.histogram_every
            if last is not None and every and not due(every, last, first=False):
                self.draw_images(member, last)
            self.tables[member].write(folder / DIAGNOSTICS)
            self.spike_recorder.write(member, folder)
