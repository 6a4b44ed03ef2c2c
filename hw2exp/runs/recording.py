"""Record the measurements of the training loop in each replica's run folder."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hw2exp.config.run_files import CHECKPOINTS, METRICS
from hw2exp.diagnostics.explosions import ExplosionDetector, preceded
from hw2exp.diagnostics.spikes import SpikeDetector, first_watched
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import EvalMetrics, StepMetrics
from hw2exp.records.diagnostics import DiagnosticsTable
from hw2exp.records.layout import DIAGNOSED, RUN
from hw2exp.records.metrics import CATALOG, MetricsTable
from hw2exp.records.parameters import write_parameters
from hw2exp.records.run_dir import RunResult
from hw2exp.records.shown import begin_events, end_events
from hw2exp.records.tensorboard import EventWriter
from hw2exp.records.write_order import write_results
from hw2exp.runs.ending import draw_curve, result_of
from hw2exp.runs.inspection import Inspection, inspects
from hw2exp.runs.metrics_row import TESTED, columns_of, host
from hw2exp.system import disk
from hw2exp.system.interrupt import NEVER, Interrupt
from hw2exp.system.lock import check_held

Floats = NDArray[np.float64]

SPIKE_BLOCK = 32
"""Steps in a block of the spike search; a block costs little more than a single step."""


class Recording:
    """An observer of the loop that keeps the records of every replica.

    Args:
        fleet: the runs.
        folders: the run folder of each config; those of the fleet's members must exist.
        initial: loss and accuracy before training, one a config.
        tables: the metrics so far of each resumed member.
        diagnostics: the diagnostics so far of each resumed member.
        interrupt: asked before a curve is drawn whether the process is to end.

    Attributes:
        inspection: the inspector of the steps, if any run has diagnostics.
    """

    def __init__(
        self,
        fleet: Fleet,
        folders: Sequence[Path],
        initial: tuple[Floats, Floats],
        tables: Mapping[int, MetricsTable] | None = None,
        diagnostics: Mapping[int, DiagnosticsTable] | None = None,
        interrupt: Interrupt = NEVER,
    ) -> None:
        self.fleet = fleet
        self.folders = folders
        self.interrupt = interrupt
        self.initial_loss, self.initial_accuracy = initial
        self.began = dict.fromkeys(map(int, fleet.members), time.monotonic())
        self.tables = {member: (tables or {}).get(member, MetricsTable()) for member in self.began}
        self.events: dict[int, EventWriter] = {}
        margin, deviations = np.ones((2, len(folders)))
        for member, config in zip(self.tables, fleet.configs, strict=True):
            margin[member], deviations[member] = config.spikes.margin, config.spikes.deviations
        self.detector = SpikeDetector(
            fleet.config.spikes.window, margin, deviations, self.initial_loss
        )
        self.explosions = ExplosionDetector(len(folders))
        self.results: dict[int, RunResult] = {}
        self.lost: dict[int, OSError] = {}  # members that lost their folder
        self.inspection: Inspection | None = None
        if any(map(inspects, fleet.configs)):
            self.inspection = Inspection(fleet, self.events, SPIKE_BLOCK, diagnostics or {})
        # Both lists hold only the replicas that still train.
        self._since_row: list[StepMetrics] = []
        self._unsearched: list[StepMetrics] = []  # steps not yet searched for spikes

    def open_events(self, goes_on: Mapping[int, tuple[str, int]] | None = None) -> None:
        """Open the TensorBoard file of every replica; a new file gets the metrics so far.

        Args:
            goes_on: name and length in bytes of each file to continue, by member.
        """
        for member, config in zip(self.tables, self.fleet.configs, strict=True):
            there = (goes_on or {}).get(member)
            events = self.events[member] = EventWriter(self.folders[member], there)
            if there is None:
                layout = DIAGNOSED if inspects(config) else RUN
                begin_events(events, config, layout, self.tables[member])
                if self.inspection is not None:
                    self.inspection.show_again(member)

    def observe(self, step: int, measured: StepMetrics, tested: EvalMetrics | None) -> None:
        """Record a step's measurements, and write a row if one is due."""
        config, members = self.fleet.config, self.fleet.members
        self._since_row.append(measured)
        self._unsearched.append(measured)
        if len(self._unsearched) >= SPIKE_BLOCK:
            self.search()
        due = step % config.log_every == 0 or step == config.steps or tested is not None
        ended = ~self.fleet.state.active.cpu().numpy()
        if due or ended.any():
            diverged = self.fleet.state.diverged_at.cpu().numpy() > 0
            columns = columns_of(self._since_row, tested)
            for row in range(len(members)) if due else np.flatnonzero(ended):
                # No test values for a replica that diverged in this step. If the step is the
                # run's last, a longer run might not test here, and its row must be the same.
                values = {
                    name: float(column[row])
                    for name, column in columns.items()
                    if not (name in TESTED and diverged[row])
                }
                self.tables[int(members[row])].append(step, values)
                tags = {CATALOG[name][0]: value for name, value in values.items()}
                self.events[int(members[row])].scalars(step, tags)
        if due:
            self._since_row.clear()
        if ended.any():
            self._let_go(ended)

    def _let_go(self, ended: NDArray[np.bool_]) -> None:
        """Write the files of the replicas that leave, and drop their buffered measurements."""
        self.search()
        self._finish([int(row) for row in np.flatnonzero(ended)])
        stay = torch.from_numpy(~ended)
        self._since_row = [past.take(stay.to(past.loss.device)) for past in self._since_row]

    def search(self) -> None:
        """Search the steps so far for spikes and explosions."""
        if self._unsearched:
            found = np.full((2, len(self._unsearched), len(self.folders)), np.nan)
            columns = [[past.loss, past.grad_norm_raw] for past in self._unsearched]
            for values, column in zip(found, zip(*columns, strict=True), strict=True):
                values[:, self.fleet.members] = host(column)  # (steps, R)
            losses, norms = found
            self.detector.update(losses)
            self.explosions.update(norms)
            self._unsearched.clear()
            if self.inspection is not None:
                for member in map(int, self.fleet.members):
                    self.inspection.spike_recorder.keep(member, self.detector.spikes(member))

    def spikes_so_far(self) -> int:
        """Return the number of spikes of all replicas, in the steps searched so far."""
        return int(self.detector.counts().sum())

    def since_row(self) -> dict[str, torch.Tensor]:
        """Return the measurements since the last row, each ``(R, n)``, for a checkpoint."""
        return {
            each.name: torch.stack([getattr(past, each.name) for past in self._since_row], 1)
            for each in fields(StepMetrics)
            if self._since_row
        }

    def restore_since_row(self, columns: Mapping[str, torch.Tensor]) -> None:
        """Restore the measurements that :meth:`since_row` returned.

        Args:
            columns: measurements by name, each ``(R, n)``.
        """
        names = list(columns)
        steps = zip(*(columns[name].unbind(1) for name in names), strict=True)
        self._since_row = [StepMetrics(**dict(zip(names, step, strict=True))) for step in steps]

    def finish(self) -> dict[int, RunResult | OSError]:
        """Write the files of all remaining replicas.

        Returns:
            The result of each member; or, for a member that lost its folder, the error; nothing
            was written there.
        """
        self.search()
        members = enumerate(map(int, self.fleet.members))
        self._finish([row for row, member in members if member not in self.results])
        return self.results | self.lost

    def keeps_folder(self, member: int) -> bool:
        """Return whether a member still owns its folder; if not, it never writes again.

        Args:
            member: the member.
        """
        try:
            if member not in self.lost:
                check_held(self.folders[member])
                disk.refuse_other(self.folders[member] / CHECKPOINTS)
        except OSError as error:
            self.lost[member] = error
        return member not in self.lost

    def abandon(self) -> None:
        """Close all TensorBoard files without finishing them."""
        for events in self.events.values():
            events.abandon()

    def _finish(self, rows: Sequence[int]) -> None:
        """Write the files of the replicas in some rows of the fleet, then their results.

        Curves take long to draw: a run with a curve gets its result before the next one is drawn.
        """
        drawn = any(self.fleet.configs[row].plot for row in rows)
        for batch in [[row] for row in rows] if drawn else [rows]:
            self._finish_together(batch)

    def _finish_together(self, rows: Sequence[int]) -> None:
        ended: dict[int, RunResult] = {}
        for row in rows:
            member = int(self.fleet.members[row])
            try:
                if self.keeps_folder(member):
                    ended[member] = self._write_files(row)
                    if not self.interrupt():  # else somebody waits for the end
                        config, spikes = self.fleet.configs[row], self.detector.spikes(member)
                        folder, table = self.folders[member], self.tables[member]
                        draw_curve(folder, config, table, spikes, ended[member])
            except OSError:
                if self.keeps_folder(member):  # a full disk is a matter of the whole fleet
                    raise
        while True:
            ended = {member: own for member, own in ended.items() if self.keeps_folder(member)}
            try:
                write_results({self.folders[member]: own for member, own in ended.items()})
                break
            except OSError:
                if all(map(self.keeps_folder, ended)):
                    raise
        self.results |= ended

    def _write_files(self, row: int) -> RunResult:
        """Write all files of a replica except the curve and the result; return the result."""
        replica = int(self.fleet.members[row])
        folder, table = self.folders[replica], self.tables[replica]
        spikes = self.detector.spikes(replica)
        params = {name: value[row].cpu().numpy() for name, value in self.fleet.params.items()}
        exploded = preceded(
            [spike.start for spike in spikes],
            self.explosions.steps(replica),
            first_watched(self.detector.window),
            int(self.fleet.state.step[row]) - bool(self.fleet.state.diverged_at[row]),
        )
        result = result_of(
            self.fleet,
            row,
            params,
            initial=(float(self.initial_loss[replica]), float(self.initial_accuracy[replica])),
            table=table,
            spikes=spikes,
            exploded=exploded,
            seconds=time.monotonic() - self.began[replica],
        )
        table.write(folder / METRICS)
        write_parameters(folder, params)
        if self.inspection is not None:
            last = None if result.status == "interrupted" else result.step
            self.inspection.finish(replica, folder, last)
        if result.status != "interrupted":  # else an open TensorBoard could not read a resumed run
            end_events(self.events[replica], spikes, result)
        self.events[replica].close()
        return result
