"""Show the live table of a sweep: fleets, replicas, speed, time left."""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hw2exp.config.schema import TrainConfig
from hw2exp.runs.live_curves import curves_line
from hw2exp.runs.live_line import PLAIN_SECONDS, show_live
from hw2exp.sweeps.progress import Progress, read_progress
from hw2exp.system.terminal import clock, echo, live_console

SHOWN = 12
"""Most running fleets in the table."""

HEADINGS = ("fleet", "runs", "training", "solved", "diverged", "step")
WIDE = 60
"""Least width of a fleet's curves if there is room, in characters."""

GAP = 2
"""Width between two columns, in characters."""


class SweepTable:
    """The display of a running sweep: a table on a terminal, elsewhere a line every few seconds.

    Args:
        fleets: the configs of each fleet.
        paths: the progress file of each fleet.
        show: whether to print anything.
        console: the console to print to.
        starts: the step that each fleet resumes from; by default 0.
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
        self.console = console or live_console()
        starts = starts or [0] * len(fleets)
        self.to_make = [
            len(fleet) * (fleet[0].steps - start)
            for fleet, start in zip(fleets, starts, strict=True)
        ]
        self._starts = starts
        self._begun: set[int] = set()
        self._ended: dict[int, Progress] = {}
        self._done: set[int] = set()
        self._live: Live | None = None
        self._prunes = any(fleet[0].prunes for fleet in fleets)

    def __enter__(self) -> Self:
        self._began = self._shown = time.monotonic()
        if self.show and self.console.is_terminal:
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            with suppress(OSError):
                self._live.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        if self._live is not None:
            with suppress(OSError):  # the terminal may be gone
                self._live.__exit__(*raised)
        elif self.show and raised[0] is None:
            echo(self._summary(self._all(), time.monotonic() - self._began))

    def begin(self, number: int) -> None:
        """Record that a fleet was submitted.

        Args:
            number: the fleet's number, from 0.
        """
        self._begun.add(number)

    def finish(self, number: int, progress: Progress, done: bool) -> None:
        """Record the end of a fleet.

        Args:
            number: the fleet's number, from 0.
            progress: its last progress.
            done: whether none of its runs was interrupted.
        """
        self._ended[number] = progress
        if done:
            self._done.add(number)

    def refresh(self) -> None:
        """Show the sweep's progress, if it is time."""
        now = time.monotonic()
        if self._live is not None:
            if not show_live(self._live, self._table(now - self._began)):
                self._live = None
        elif self.show and now - self._shown > PLAIN_SECONDS:
            self._shown = now
            echo(self._summary(self._all(), now - self._began))

    def _all(self) -> list[Progress | None]:
        running = sorted(self._begun - self._ended.keys())
        seen = dict(zip(running, read_progress(self.paths[n] for n in running), strict=True))
        known: dict[int, Progress | None] = {**self._ended, **seen}
        return [known.get(number) for number in range(len(self.paths))]

    def _summary(self, fleets: Sequence[Progress | None], seconds: float) -> str:
        begun = [progress for progress in fleets if progress is not None]
        alive, solved, diverged, pruned, made = (
            sum(getattr(progress, name) for progress in begun)
            for name in ("alive", "solved", "diverged", "pruned", "replica_steps")
        )
        # Replicas that diverged, solved early or were pruned skip their remaining steps.
        over = sum(
            self.to_make[number] - progress.replica_steps
            for number, progress in enumerate(fleets)
            if progress is not None and number in self._done
        )
        speed = made / max(seconds, 1e-9)
        left = clock((sum(self.to_make) - over - made) / speed) if made else "–"
        return (
            f"{len(self._done)}/{len(self.fleets)} fleets  {alive} training  "
            f"{solved} solved  {diverged} diverged  "
            + f"{pruned} pruned  " * self._prunes
            + f"{speed:,.0f} steps/s  left {left}"
        )

    def _table(self, seconds: float) -> Group:
        fleets = self._all()
        running = [
            (self.fleets[number], progress)
            for number, progress in enumerate(fleets)
            if progress is not None and number not in self._ended
        ][:SHOWN]
        optional = {"pruned": self._prunes, "worker": any(each.worker for _, each in running)}
        headings = (*HEADINGS, *(name for name, shown in optional.items() if shown))
        rows = [
            (
                str(len(configs)),
                str(progress.alive),
                str(progress.solved),
                str(progress.diverged),
                f"{progress.step}/{configs[0].steps}",
                *(str(getattr(progress, name)) for name, shown in optional.items() if shown),
            )
            for configs, progress in running
        ]
        names = [configs[0].describe_shape() for configs, _ in running]
        columns = zip(headings[1:], *rows, strict=True)
        numbers = sum(max(map(len, column)) + GAP for column in columns)
        width = min(max(WIDE, *map(len, names)), self.console.width - numbers) if rows else 0
        if 2 * len(rows) + 3 > self.console.height:
            width = 0  # the terminal has too few lines for curves
        table = Table(box=None, pad_edge=False)
        table.add_column(headings[0], no_wrap=True, overflow="ellipsis")
        for heading in headings[1:]:
            table.add_column(heading, justify="right", no_wrap=True)
        for (_, progress), name, row in zip(running, names, rows, strict=True):
            curves = curves_line(progress.losses, progress.norms, width, self.console.encoding)
            table.add_row("\n".join(filter(None, (name, curves))), *row)
        return Group(table, Text(self._summary(fleets, seconds), overflow="ellipsis"))
