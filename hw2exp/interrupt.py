"""Signals that ask a run to stop: the step is finished, the records are written."""

import signal
import threading
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """While entered, notes the first of some signals; a second one ends the process at once.

    Outside the main thread, where Python knows no signals, it notes none.

    Args:
        signals: which; by default SIGINT and SIGTERM.
    """

    def __init__(self, signals: Sequence[int] = SIGNALS) -> None:
        self.signals = signals
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return self.signal is not None

    @property
    def status(self) -> int:
        """The exit status that says which signal it was: 130 or 143."""
        return 0 if self.signal is None else 128 + self.signal

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in self.signals}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        for each in self.signals:
            signal.signal(each, signal.SIG_DFL)
