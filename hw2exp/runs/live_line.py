"""Show the progress of a run in one live line, with the curves so far below it."""

import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from hw2exp.fleet.measurements import EvalMetrics, StepMetrics
from hw2exp.runs.live_curves import LiveCurves, curves_line
from hw2exp.system.terminal import clock, echo, live_console

REFRESH_SECONDS = 0.2
PLAIN_SECONDS = 5.0
WIDE = 100


class LiveLine:
    """A live progress line with curves below it; outside a terminal, plain lines less often.

    Args:
        steps: the number of steps of the whole run.
        spikes: a function that returns the number of spikes so far, over all replicas.
        console: the console to write to.
    """

    def __init__(
        self, steps: int, spikes: Callable[[], int], console: Console | None = None
    ) -> None:
        self.steps = steps
        self.spikes = spikes
        self.console = console or live_console()
        self.interval = REFRESH_SECONDS if self.console.is_terminal else PLAIN_SECONDS
        self.test_accuracy: float | None = None
        self.curves = LiveCurves()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        self._shown = time.monotonic()
        self._began: float | None = None
        self._first_step = 0
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

    def observe(self, steps: range, metrics: StepMetrics, tested: EvalMetrics | None) -> None:
        """Refresh the line if its interval has passed."""
        step = steps[-1]
        if tested is not None:
            self.test_accuracy = float(tested.accuracy.mean())
        now = time.monotonic()
        if self._began is None:  # the first step may have waited for the compiler
            self._began, self._first_step = now, step
            if self.console.is_terminal:  # not earlier: an exit during compilation keeps the cursor
                self._live = Live(console=self.console, auto_refresh=False, transient=True)
                with suppress(OSError):
                    self._live.__enter__()
        if self._live is not None:
            self.curves.observe(metrics)
        if now - self._shown < self.interval and step < self.steps:
            return
        self._shown = now
        line = self._line(step, metrics[-1], now - self._began)
        if self._live is None:
            echo(line)
            return
        curves = curves_line(*self.curves.so_far(), self.console.width, self.console.encoding)
        shown = "\n".join(filter(None, (line, curves)))
        if not show_live(self._live, Text(shown, no_wrap=True, overflow="ellipsis")):
            self._live, self.interval = None, PLAIN_SECONDS

    def _line(self, step: int, metrics: StepMetrics, seconds: float) -> str:
        speed = (step - self._first_step) / max(seconds, 1e-9)
        left = clock((self.steps - step) / speed) if speed else "–"
        test = "–" if self.test_accuracy is None else f"{self.test_accuracy:.3f}"
        loss, accuracy, norm = (
            float(values.double().mean())
            for values in (metrics.loss, metrics.accuracy, metrics.grad_norm_raw)
        )
        wide = self.console.width >= WIDE
        parts = (
            f"step {step}/{self.steps}",
            f"loss {loss:.4f}",
            f"acc {accuracy:.3f}" if wide else "",
            f"test {test}",
            f"|grad| {norm:.2e}",
            f"spikes {self.spikes()}",
            f"{speed:.0f} steps/s" if wide else "",
            f"left {left}",
        )
        return ("  " if wide else " ").join(filter(None, parts))


def show_live(live: Live, content: RenderableType) -> bool:
    """Update a live display, and return whether the terminal still exists.

    Args:
        live: the live display.
        content: the new content.
    """
    try:
        live.update(content, refresh=True)
    except OSError:
        with suppress(OSError):
            live.stop()
        return False
    return True
