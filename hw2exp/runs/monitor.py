"""Follow the training loop: make the rows of the metrics, and search for spikes and explosions."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw2exp.diagnostics.explosions import ExplosionDetector, preceded
from hw2exp.diagnostics.spikes import SpikeDetector, first_watched
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.measurements import EvalMetrics, StepMetrics
from hw2exp.fleet.state import FleetState
from hw2exp.records.metrics import MetricsTable
from hw2exp.records.parameters import Parameters
from hw2exp.records.run_dir import RunResult
from hw2exp.runs.ending import result_of
from hw2exp.runs.inspection import Inspection
from hw2exp.runs.metrics_row import (
    LOSS,
    MEASURED,
    NORM,
    host,
    tested_columns,
    trained_columns,
)

Floats = NDArray[np.float64]

INSPECTED = 32
"""Steps between two searches for spikes in inspected runs; their states are kept until then."""
BATCH, BATCH_SECONDS = 512, 0.5
"""The number of steps that are recorded together, and the seconds after which fewer are: many steps
cost little more than a single one."""


class Monitor(ABC):
    """An observer of the loop that makes the rows and finds the spikes of every replica.

    Args:
        fleet: the runs.
        initial: loss and accuracy before training, ``(configs,)`` each.
        tables: the metrics so far of each resumed member.

    Attributes:
        inspection: the inspector of the steps, if any run has diagnostics.
    """

    def __init__(
        self,
        fleet: Fleet,
        initial: tuple[Floats, Floats],
        tables: Mapping[int, MetricsTable] | None = None,
    ) -> None:
        self.fleet = fleet
        self.initial_loss, self.initial_accuracy = initial
        self.began = dict.fromkeys(map(int, fleet.members), time.monotonic())
        self.tables = {member: (tables or {}).get(member, MetricsTable()) for member in self.began}
        margin, deviations = np.ones((2, len(self.initial_loss)))
        for member, config in zip(self.tables, fleet.configs, strict=True):
            margin[member], deviations[member] = config.spikes.margin, config.spikes.deviations
        self.detector = SpikeDetector(
            fleet.config.spikes.window, margin, deviations, self.initial_loss
        )
        self.explosions = ExplosionDetector(len(self.initial_loss))
        self.inspection: Inspection | None = None
        self._last, self._recorded = 0, time.monotonic()
        # All measurements are only of the replicas that still train.
        self._pending: list[StepMetrics] = []  # not yet recorded, up to the last step
        self._tests: dict[int, Floats] = {}  # columns (R, 3) of the test passes among them, by step
        self._since_row: list[Floats] = []  # recorded since the last row, each (6, n, R)
        self._unsearched: list[Floats] = []  # losses and norms to be searched, (2, n, configs)

    @abstractmethod
    def write_rows(self, member: int, steps: Sequence[int], columns: list[list[float]]) -> None:
        """Receive new rows of a member, after they were added to its table.

        Args:
            member: the member.
            steps: the steps of the rows.
            columns: the values of the catalog's first columns, for each row.
        """

    @abstractmethod
    def end(self, rows: Sequence[int]) -> None:
        """Receive the replicas that end, after their last rows.

        Args:
            rows: the replicas' rows in the fleet.
        """

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
            self._make_rows()
            if len(self._unsearched) >= INSPECTED:
                self._search()
        elif (
            sum(len(each.loss) for each in self._pending) >= BATCH
            or time.monotonic() - self._recorded > BATCH_SECONDS
        ):
            self.catch_up()

    def catch_up(self) -> None:
        """Record all steps so far: make the rows that are due, and search for spikes."""
        if self._pending:
            self._make_rows()
        if self._unsearched:
            self._search()
        self._recorded = time.monotonic()

    def _make_rows(self, ended: NDArray[np.bool_] | None = None) -> None:
        """Make the rows of the pending steps.

        Args:
            ended: mask of the replicas that end here, with a last row, ``(R,)``; by default none.
        """
        block = host(self._pending)  # (6, n, R)
        self._unsearched.append(self._by_config(block[[LOSS, NORM]]))
        since = [*self._since_row, block]
        before, config = self._last - sum(part.shape[1] for part in since), self.fleet.config
        steps = range(self._last - block.shape[1] + 1, self._last + 1)
        first_logged = -(-steps.start // config.log_every) * config.log_every
        logged = range(first_logged, steps.stop, config.log_every)
        due = sorted({*logged, *self._tests})  # the last step is always tested
        every = due if ended is None or self._last in due else [*due, self._last]
        if every:
            sizes = np.diff([before, *every])
            rows = np.flatnonzero(np.full(block.shape[2], True) if due or ended is None else ended)
            past = np.concatenate([part[..., rows] for part in since], axis=1)
            columns = trained_columns(past[:, : sizes.sum()], sizes).tolist()
            for row, own in zip(rows.tolist(), columns, strict=True):
                steps_of = due if ended is None or not ended[row] else every
                self._append(row, int(self.fleet.members[row]), steps_of, own[: len(steps_of)])
        if due:
            since = [np.concatenate(since, axis=1)[:, due[-1] - before :].copy()]
        self._since_row = since
        self._pending.clear()
        self._tests.clear()

    def _append(
        self, row: int, member: int, steps: Sequence[int], columns: list[list[float]]
    ) -> None:
        """Add a replica's rows to its table, with the test passes so far."""
        # No test values for a replica that diverged in this step. If the step is the run's last,
        # a longer run might not test here, and its row must be the same.
        for step in self._tests.keys() - {int(self.fleet.state.diverged_at[row])}:
            columns[steps.index(step)] += self._tests[step][row].tolist()
        self.tables[member].extend(steps, columns)
        self.write_rows(member, steps, columns)

    def _let_go(self, ended: NDArray[np.bool_]) -> None:
        """End the replicas that leave, and drop their buffered measurements."""
        self._make_rows(ended)
        self.end([int(row) for row in np.flatnonzero(ended)])
        self._since_row = [past[..., ~ended] for past in self._since_row]

    def _search(self) -> None:
        """Search the steps recorded so far for spikes and explosions."""
        losses, norms = np.concatenate(self._unsearched, axis=1)
        self.detector.update(losses)
        self.explosions.update(norms)
        self._unsearched.clear()
        if self.inspection is not None:
            for member in map(int, self.fleet.members):
                self.inspection.spike_recorder.keep(member, self.detector.spikes(member))

    def _by_config(self, block: Floats) -> Floats:
        """Spread measurements ``(…, R)`` to ``(…, configs)``, with NaN for those that have left."""
        spread = np.full((*block.shape[:-1], len(self.initial_loss)), np.nan)
        spread[..., self.fleet.members] = block
        return spread

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

    def result(
        self,
        replica: int,
        state: FleetState,
        row: int,
        params: Parameters,
        config: Mapping[str, Any],
        seconds: float,
    ) -> RunResult:
        """Return the result of a replica that has ended; all its steps must have been searched.

        Args:
            replica: the place of its config.
            state: a state that holds the replica's last one.
            row: the replica's row in that state.
            params: its parameters by name.
            config: its config in the form that the result holds.
            seconds: the duration of its training in seconds.
        """
        spikes = self.detector.spikes(replica)
        exploded = preceded(
            [spike.start for spike in spikes],
            self.explosions.steps(replica),
            first_watched(self.detector.window),
            int(state.step[row]) - bool(state.diverged_at[row]),
        )
        return result_of(
            self.fleet,
            state,
            row,
            params,
            initial=(float(self.initial_loss[replica]), float(self.initial_accuracy[replica])),
            table=self.tables[replica],
            spikes=spikes,
            exploded=exploded,
            seconds=seconds,
            config=config,
            pruned_at=int(self.fleet.pruned_at[replica]),
        )
