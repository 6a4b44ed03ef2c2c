"""The live table of a sweep: fleets, replicas, speed, time left."""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hw2exp.config.schema import TrainConfig
from hw2exp.fleet_run import Outcome
from hw2exp.live_line import PLAIN_SECONDS, show_live
from hw2exp.records.run_dir import RunResult
from hw2exp.sweeps.progress import Progress, read_progress
from hw2exp.terminal import clock, say

SHOWN = 12
"""Fleets at most in the table: those that run."""


class SweepTable:
    """Follows a sweep; on a terminal as a table, elsewhere as a line now and then.

    Args:
        fleets: the configs of each fleet.
        paths: the file in which each fleet says how far it is.
        show: whether to write anything.
        console: where to write.
        starts: the step after which each fleet goes on, if some do.
    """

    def __init__(
        self,
        fleets: Sequence[Sequence[TrainConfig]],
        paths: Sequence[Path],
        show: bool = True,
        console: Console | None = None,
        starts: Sequence[int] | None = None,
    ) -> None:
        self.fleets = fleets
        self.paths = paths
        self.show = show
        self.console = console or Console(highlight=False)
        starts = starts or [0] * len(fleets)
        self.to_make = [
            len(fleet) * (fleet[0].steps - start)
            for fleet, start in zip(fleets, starts, strict=True)
        ]
        self._starts = starts
        self._done: dict[int, Sequence[Outcome]] = {}
        self._live: Live | None = None

    def __enter__(self) -> Self:
        self._began = self._shown = time.monotonic()
        if self.show and self.console.is_terminal:
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            with suppress(OSError):
                self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            with suppress(OSError):  # the terminal may be gone
                self._live.__exit__(kind, error, traceback)
        elif self.show and error is None:
            say(self._summary(self._all(), time.monotonic() - self._began))

    def ended(self, number: int, outcomes: Sequence[Outcome]) -> None:
        """Take note that a fleet has ended.

        Args:
            number: which one.
            outcomes: what became of its jobs.
        """
        self._done[number] = outcomes

    def refresh(self) -> None:
        """Show where the sweep is, if it is time."""
        now = time.monotonic()
        if self._live is not None:
            if not show_live(self._live, self._table(now - self._began)):
                self._live = None
        elif self.show and now - self._shown > PLAIN_SECONDS:
            self._shown = now
            say(self._summary(self._all(), now - self._began))

    def _all(self) -> list[Progress | None]:
        return [
            _of_outcomes(self._done[number], self._starts[number])
            if number in self._done
            else progress
            for number, progress in enumerate(read_progress(self.paths))
        ]

    def _summary(self, fleets: Sequence[Progress | None], seconds: float) -> str:
        begun = [progress for progress in fleets if progress is not None]
        alive, solved, diverged, made = (
            sum(getattr(progress, name) for progress in begun)
            for name in ("alive", "solved", "diverged", "replica_steps")
        )
        # What diverged or solved early need not be trained to its last step.
        over = sum(
            self.to_make[number] - progress.replica_steps
            for number, progress in enumerate(fleets)
            if progress is not None and number in self._done
        )
        speed = made / max(seconds, 1e-9)
        left = clock((sum(self.to_make) - over - made) / speed) if made else "–"
        return (
            f"{len(self._done)}/{len(self.fleets)} fleets  {alive} training  "
            f"{solved} solved  {diverged} diverged  {speed:,.0f} steps/s  left {left}"
        )

    def _table(self, seconds: float) -> Group:
        fleets = self._all()
        table = Table(box=None, pad_edge=False)
        for heading in ("fleet", "runs", "training", "solved", "diverged", "step"):
            table.add_column(heading, justify="left" if heading == "fleet" else "right")
        running = [
            (number, progress)
            for number, progress in enumerate(fleets)
            if progress is not None and number not in self._done
        ]
        for number, progress in running[:SHOWN]:
            first = self.fleets[number][0]
            table.add_row(
                first.describe_shape(),
                str(len(self.fleets[number])),
                str(progress.alive),
                str(progress.solved),
                str(progress.diverged),
                f"{progress.step}/{first.steps}",
            )
        return Group(table, Text(self._summary(fleets, seconds), overflow="ellipsis"))


def _of_outcomes(outcomes: Sequence[Outcome], start: int) -> Progress:
    results = [outcome for outcome in outcomes if isinstance(outcome, RunResult)]
    return Progress(
        replica_steps=sum(result.step - start for result in results),
        solved=sum(result.solved_at is not None for result in results),
        diverged=sum(result.diverged_at is not None for result in results),
    )
