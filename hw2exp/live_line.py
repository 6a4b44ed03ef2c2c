"""The line that follows a run while it trains, with the curves so far below it."""

import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import numpy as np
import torch
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from hw2exp.sparkline import ASCII, BLOCKS, Peaks, sparkline
from hw2exp.terminal import clock, say
from hw2exp.training import Measured, Tested

REFRESH_SECONDS = 0.2
PLAIN_SECONDS = 5.0
WIDE = 100
NARROWEST = 8
"""Characters of a curve, at least."""

MOST_WAITING = 1024
"""Steps whose values wait for the next refresh, at most."""


class LiveLine:
    """One line that follows a run; plain lines, further apart, when not on a terminal.

    On a terminal the training loss and the gradient's norm stand below it as sparklines, from the
    first step that was watched; on logarithmic scales, lest one spike flatten all the rest.

    Args:
        steps: steps of the whole run.
        spikes: asked for the spikes so far of every replica.
        console: where to write.
    """

    def __init__(
        self, steps: int, spikes: Callable[[], int], console: Console | None = None
    ) -> None:
        self.steps = steps
        self.spikes = spikes
        self.console = console or Console(highlight=False)
        self.interval = REFRESH_SECONDS if self.console.is_terminal else PLAIN_SECONDS
        self.test_accuracy: float | None = None
        self.losses, self.norms = Peaks(), Peaks()
        self._waiting: list[tuple[torch.Tensor, torch.Tensor]] = []
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

    def observe(self, step: int, measured: Measured, tested: Tested | None) -> None:
        """Refresh the line, if it is time."""
        if tested is not None:
            self.test_accuracy = float(tested.accuracy.mean())
        now = time.monotonic()
        if self._began is None:  # the first step may have waited for the compiler
            self._began, self._first_step = now, step
            if self.console.is_terminal:  # not before: who leaves while it compiles has a cursor
                self._live = Live(console=self.console, auto_refresh=False, transient=True)
                with suppress(OSError):
                    self._live.__enter__()
        if self._live is not None:
            self._waiting.append((measured.loss, measured.grad_norm_raw))
            if len(self._waiting) == MOST_WAITING:
                self._take()
        if now - self._shown < self.interval and step < self.steps:
            return
        self._shown = now
        line = self._line(step, measured, now - self._began)
        if self._live is None:
            say(line)
            return
        shown = "\n".join(filter(None, (line, self._curves())))
        if not show_live(self._live, Text(shown, no_wrap=True, overflow="ellipsis")):
            self._live, self.interval = None, PLAIN_SECONDS

    def _line(self, step: int, measured: Measured, seconds: float) -> str:
        speed = (step - self._first_step) / max(seconds, 1e-9)
        left = clock((self.steps - step) / speed) if speed else "–"
        test = "–" if self.test_accuracy is None else f"{self.test_accuracy:.3f}"
        loss, accuracy, norm = (
            float(values.double().mean())
            for values in (measured.loss, measured.accuracy, measured.grad_norm_raw)
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

    def _curves(self) -> str:
        """The curves so far, as wide as the terminal; nothing where it is too narrow for them."""
        self._take()
        loss, norm = "loss ", "  |grad| "
        width = (self.console.width - len(loss + norm)) // 2
        if width < NARROWEST:
            return ""
        marks = BLOCKS if _has(self.console.encoding, BLOCKS) else ASCII
        losses, norms = (
            sparkline(peaks.bins, width, log=True, marks=marks)
            for peaks in (self.losses, self.norms)
        )
        return f"{loss}{losses}{norm}{norms}"

    def _take(self) -> None:
        """Bring what waits to the CPU, all at once, and take the mean over replicas."""
        if not self._waiting:
            return
        sizes = np.array([len(loss) for loss, _ in self._waiting])  # replicas may have left
        starts = np.cumsum(sizes) - sizes
        columns = zip(*self._waiting, strict=True)
        for peaks, column in zip((self.losses, self.norms), columns, strict=True):
            values = torch.cat(column).double().cpu().numpy()  # a step's replicas after another's
            peaks.add((np.add.reduceat(values, starts) / sizes).tolist())
        self._waiting.clear()


def _has(encoding: str, letters: str) -> bool:
    try:
        letters.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def show_live(live: Live, content: RenderableType) -> bool:
    """Renew what stands at a terminal's end; says whether the terminal is still there.

    Args:
        live: what stands there.
        content: what is to.
    """
    try:
        live.update(content, refresh=True)
    except OSError:
        with suppress(OSError):
            live.stop()
        return False
    return True
