"""Record the measurements of the training loop in each replica's run folder."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hw2exp.config.resume import FREE
from hw2exp.config.run_files import CHECKPOINTS, METRICS
from hw2exp.fleet.fleet import Fleet
from hw2exp.records.diagnostics import DiagnosticsTable
from hw2exp.records.layout import DIAGNOSED, RUN
from hw2exp.records.metrics import CATALOG, MetricsTable
from hw2exp.records.parameters import write_parameters
from hw2exp.records.run_dir import RunResult
from hw2exp.records.shown import begin_events, end_events
from hw2exp.records.tensorboard import EventWriter
from hw2exp.records.write_order import write_results
from hw2exp.runs.ending import draw_if_wanted
from hw2exp.runs.inspection import Inspection
from hw2exp.runs.monitor import INSPECTED, Floats, Monitor
from hw2exp.runs.run_loggers import RunLoggers
from hw2exp.system import disk
from hw2exp.system.interrupt import NEVER, Interrupt
from hw2exp.system.lock import check_held

TAGS = tuple(tag for tag, _ in CATALOG.values())


class Recording(Monitor):
    """An observer of the loop that keeps the records of every replica.

    Args:
        fleet: the runs.
        folders: the run folder of each config; those of the fleet's members must exist.
        initial: loss and accuracy before training, ``(configs,)`` each.
        tables: the metrics so far of each resumed member.
        diagnostics: the diagnostics so far of each resumed member.
        interrupt: the interrupt, polled before a curve is drawn.
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
        super().__init__(fleet, initial, tables)
        self.folders = folders
        self.interrupt = interrupt
        self.events: dict[int, EventWriter] = {}
        self.loggers: RunLoggers | None = None
        self.results: dict[int, RunResult] = {}
        self.lost: dict[int, OSError] = {}  # members that lost their folder
        if any(each.inspected for each in fleet.configs):
            self.inspection = Inspection(fleet, self.events, INSPECTED, diagnostics or {})

    def open_events(self, resumed: Mapping[int, tuple[str, int]] | None = None) -> None:
        """Open every replica's TensorBoard file and logger; a new file gets the metrics so far.

        Args:
            resumed: name and length in bytes of each file to continue, by member.
        """
        for member, config in zip(self.tables, self.fleet.configs, strict=True):
            there = (resumed or {}).get(member)
            events = self.events[member] = EventWriter(self.folders[member], there)
            if there is None:
                layout = DIAGNOSED if config.inspected else RUN
                begin_events(events, config, layout, self.tables[member])
                if self.inspection is not None:
                    self.inspection.show_again(member)
        configs = dict(zip(self.tables, self.fleet.configs, strict=True))
        self.loggers = RunLoggers(configs, self.folders, self.tables)

    def write_rows(self, member: int, steps: Sequence[int], columns: list[list[float]]) -> None:
        """Write rows for TensorBoard and for the logger."""
        self.events[member].rows(steps, TAGS, columns)
        if self.loggers is not None:
            self.loggers.log(member, steps, columns)

    def finish(self) -> dict[int, RunResult | OSError]:
        """Write the files of all remaining replicas.

        Returns:
            The result of each member. A member that lost its folder has the error instead, and
            nothing was written there.
        """
        self.catch_up()
        members = enumerate(map(int, self.fleet.members))
        self.end([row for row, member in members if member not in self.results])
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

    def end(self, rows: Sequence[int]) -> None:
        """Write the files of the replicas that end, then their results.

        Curves take long to draw: a run with a curve gets its result before the next one is drawn.
        """
        self.catch_up()
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
                    if not self.interrupt():  # else the user waits for the end
                        config, spikes = self.fleet.configs[row], self.detector.spikes(member)
                        folder, table = self.folders[member], self.tables[member]
                        draw_if_wanted(folder, config, table, spikes, results[member])
            except OSError:
                if self.keeps_folder(member):  # a full disk concerns the whole fleet
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
        if self.loggers is not None:
            self.loggers.end(results)

    def _write_files(self, row: int) -> RunResult:
        """Write all files of a replica except the curve and the result; return the result."""
        replica, state = int(self.fleet.members[row]), self.fleet.state
        config = self.fleet.configs[row].model_dump(mode="json", exclude=FREE)
        seconds = time.monotonic() - self.began[replica]
        params = {name: value[row].cpu().numpy() for name, value in self.fleet.params.items()}
        result = self.result(replica, state, row, params, config, seconds)
        folder, spikes = self.folders[replica], self.detector.spikes(replica)
        self.tables[replica].write(folder / METRICS)
        write_parameters(folder, params)
        if self.inspection is not None:
            last = None if result.status == "interrupted" else result.step
            self.inspection.finish(replica, folder, last)
        if result.status != "interrupted":  # else an open TensorBoard could not read a resumed run
            end_events(self.events[replica], spikes, result)
        self.events[replica].close()
        return result
