"""Record the measurements of the training loop in each replica's run folder."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw2exp.config.run_files import CHECKPOINTS, METRICS
from hw2exp.diagnostics.explosions import ExplosionDetector, preceded
from hw2exp.diagnostics.spikes import SpikeDetector, first_watched
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.measurements import EvalMetrics, StepMetrics
from hw2exp.records.diagnostics import DiagnosticsTable
from hw2exp.records.layout import DIAGNOSED, RUN
from hw2exp.records.metrics import CATALOG, MetricsTable
from hw2exp.records.parameters import write_parameters
from hw2exp.records.run_dir import RunResult
from hw2exp.records.shown import begin_events, end_events
from hw2exp.records.tensorboard import EventWriter
from hw2exp.records.write_order import write_results
from hw2exp.runs.ending import draw_if_wanted, result_of
from hw2exp.runs.inspection import Inspection, inspects
from hw2exp.runs.metrics_row import (
    LOSS,
    MEASURED,
    NORM,
    host,
    tested_columns,
    trained_columns,
)
from hw2exp.system import disk
from hw2exp.system.interrupt import NEVER, Interrupt
from hw2exp.system.lock import check_held

Floats = NDArray[np.float64]

INSPECTED = 32
"""Steps between two searches for spikes in inspected runs; their states are kept until then."""
BATCH, BATCH_SECONDS = 512, 0.5
"""Steps that are recorded together, and the time after which they are recorded in any case: many
steps cost little more than a single one."""

TAGS = tuple(tag for tag, _ in CATALOG.values())


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
            self.inspection = Inspection(fleet, self.events, INSPECTED, diagnostics or {})
        self._last, self._recorded = 0, time.monotonic()
        # All measurements are only of the replicas that still train.
        self._pending: list[StepMetrics] = []  # not yet recorded, up to the last step
        self._tests: dict[int, Floats] = {}  # columns (R, 3) of the test passes among them, by step
        self._since_row: list[Floats] = []  # recorded since the last row, each (6, n, R)
        self._unsearched: list[Floats] = []  # recorded, but not searched for spikes, (6, n, R)

    def open_events(self, resumed: Mapping[int, tuple[str, int]] | None = None) -> None:
        """Open the TensorBoard file of every replica; a new file gets the metrics so far.

        Args:
            resumed: name and length in bytes of each file to continue, by member.
        """
        for member, config in zip(self.tables, self.fleet.configs, strict=True):
            there = (resumed or {}).get(member)
            events = self.events[member] = EventWriter(self.folders[member], there)
            if there is None:
                layout = DIAGNOSED if inspects(config) else RUN
                begin_events(events, config, layout, self.tables[member])
                if self.inspection is not None:
                    self.inspection.show_again(member)

    def observe(self, steps: range, metrics: StepMetrics, tested: EvalMetrics | None) -> None:
        """Record the measurements of some steps, together with later ones if they can wait."""
        self._last = steps[-1]
        self._pending.append(metrics)
        if tested is not None:
            self._tests[self._last] = tested_columns(tested)
        active = self.fleet.state.active
        if not bool(active.all()):
            self._let_go(~active.cpu().numpy())
        elif self.inspection is not None:  # writes to the same files: rows must not come late
            self._write_rows()
            if len(self._unsearched) >= INSPECTED:
                self._search()
        elif (
            sum(len(each.loss) for each in self._pending) >= BATCH
            or time.monotonic() - self._recorded > BATCH_SECONDS
        ):
            self.catch_up()

    def catch_up(self) -> None:
        """Record all steps so far: write the rows that are due, and search for spikes."""
        if self._pending:
            self._write_rows()
        if self._unsearched:
            self._search()
        self._recorded = time.monotonic()

    def _write_rows(self, ended: NDArray[np.bool_] | None = None) -> None:
        """Write the rows of the pending steps.

        Args:
            ended: mask of the replicas that end here, with a last row, ``(R,)``; by default none.
        """
        block = host(self._pending)  # (6, n, R)
        self._unsearched.append(block)
        since = np.concatenate([*self._since_row, block], axis=1)
        before, config = self._last - since.shape[1], self.fleet.config
        steps = range(self._last - block.shape[1] + 1, self._last + 1)
        first_logged = -(-steps.start // config.log_every) * config.log_every
        logged = range(first_logged, steps.stop, config.log_every)
        due = sorted({*logged, *self._tests})  # the last step is always tested
        every = due if ended is None or self._last in due else [*due, self._last]
        if every:
            sizes = np.diff([before, *every])
            columns = trained_columns(since[:, : sizes.sum()], sizes).tolist()
            for row, member in enumerate(map(int, self.fleet.members)):
                own = due if ended is None or not ended[row] else every
                self._append(row, member, own, columns[row][: len(own)])
        self._since_row = (
            [since[:, due[-1] - before :].copy()] if due else [*self._since_row, block]
        )
        self._pending.clear()
        self._tests.clear()

    def _append(
        self, row: int, member: int, steps: Sequence[int], columns: list[list[float]]
    ) -> None:
        """Write a replica's rows, with the test passes so far."""
        # No test values for a replica that diverged in this step. If the step is the run's last,
        # a longer run might not test here, and its row must be the same.
        for step in self._tests.keys() - {int(self.fleet.state.diverged_at[row])}:
            columns[steps.index(step)] += self._tests[step][row].tolist()
        self.tables[member].extend(steps, columns)
        self.events[member].rows(steps, TAGS, columns)

    def _let_go(self, ended: NDArray[np.bool_]) -> None:
        """Write the files of the replicas that leave, and drop their buffered measurements."""
        self._write_rows(ended)
        self.catch_up()
        self._finish([int(row) for row in np.flatnonzero(ended)])
        self._since_row = [past[..., ~ended] for past in self._since_row]

    def _search(self) -> None:
        """Search the steps recorded so far for spikes and explosions."""
        past = np.concatenate(self._unsearched, axis=1)  # (6, n, R)
        found = np.full((2, past.shape[1], len(self.folders)), np.nan)
        found[..., self.fleet.members] = past[[LOSS, NORM]]
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

    def since_row(self) -> dict[str, NDArray[Any]]:
        """Return the recorded measurements since the last row, each ``(R, n)``."""
        since = np.concatenate(self._since_row or [np.empty((len(MEASURED), 0, 1))], axis=1)
        if not since.size:
            return {}
        columns = dict(zip(MEASURED, np.ascontiguousarray(since.swapaxes(1, 2)), strict=True))
        own = self.fleet.state.params[:0].cpu().numpy().dtype  # in which the loss was measured
        return columns | {"loss": columns["loss"].astype(own)}

    def restore_since_row(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Restore the measurements that :meth:`since_row` returned.

        Args:
            columns: measurements by name, each ``(R, n)``.
        """
        if columns:
            self._since_row = [np.stack([columns[name].T for name in MEASURED], dtype=np.float64)]

    def finish(self) -> dict[int, RunResult | OSError]:
        """Write the files of all remaining replicas.

        Returns:
            The result of each member; or, for a member that lost its folder, the error; nothing
            was written there.
        """
        self.catch_up()
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
        results: dict[int, RunResult] = {}
        for row in rows:
            member = int(self.fleet.members[row])
            try:
                if self.keeps_folder(member):
                    results[member] = self._write_files(row)
                    if not self.interrupt():  # else somebody waits for the end
                        config, spikes = self.fleet.configs[row], self.detector.spikes(member)
                        folder, table = self.folders[member], self.tables[member]
                        draw_if_wanted(folder, config, table, spikes, results[member])
            except OSError:
                if self.keeps_folder(member):  # a full disk is a matter of the whole fleet
                    raise
        while True:
            results = {member: own for member, own in results.items() if self.keeps_folder(member)}
            try:
                write_results({self.folders[member]: own for member, own in results.items()})
                break
            except OSError:
                if all(map(self.keeps_folder, results)):
                    raise
        self.results |= results

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
