"""Handle signals: some ask a run to end, one asks it to save and continue."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn, Self

HANGUP: int | None = getattr(signal, "SIGHUP", None)
"""The signal of a closed terminal; ignored under ``nohup``."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, *([HANGUP] if HANGUP is not None else []))
SAVE: int | None = getattr(signal, "SIGUSR1", None)
"""The signal that clusters send some time before they end a job."""


class Interrupt:
    """A context that records signals, so that a run can finish its step and save.

    Until there is something to save, a signal ends the process at once. A second signal does so
    too, by the system's default. Outside the main thread Python delivers no signals: none is
    recorded.

    Args:
        signals: the signals that ask to end; by default SIGINT, SIGTERM and SIGHUP.
        insist: let a second signal end the process at once; else it has no effect.
        leave: a function that ends the process at once, given the exit status. An exception lets
            the caller clean up, but is lost inside a compiler's callback; a process with no other
            owner uses ``os._exit``. None: the system's default, which interrupts even a compiler.
        last: nothing is saved after the context, while the process exits: ignore signals to save
            from then on.
    """

    def __init__(
        self,
        signals: Sequence[int] = SIGNALS,
        insist: bool = True,
        leave: Callable[[int], NoReturn] | None = sys.exit,
        last: bool = False,
    ) -> None:
        self.signals = signals
        self.insist = insist
        self.leave = leave
        self.last = last
        self.signal: int | None = None
        self._to_save = False
        self._asked = False
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Return whether a signal to end has arrived."""
        return self.signal is not None

    def asked_to_save(self) -> bool:
        """Return whether a signal to save has arrived since the last call."""
        asked, self._asked = self._asked, False
        return asked

    def tell(self, number: int) -> None:
        """Take a signal to save, or any other to end, that reached another process."""
        if number == SAVE:
            self._asked = True
        else:
            self.signal = number

    def begin_to_save(self) -> None:
        """Declare that from now on there is something to save before the end."""
        if not self._to_save:
            self._to_save = True
            if self.leave is None:
                self._handle(dict.fromkeys(self.signals, self._end))

    @property
    def status(self) -> int:
        """Return the exit status of the signal: 130, 143 or 129; 0 without one."""
        return 0 if self.signal is None else 128 + self.signal

    def __enter__(self) -> Self:
        if SAVE is not None:
            self._handle({SAVE: self._save})
        if self.leave is not None:
            self._handle(dict.fromkeys(self.signals, self._end))
        return self

    def _handle(self, handlers: Mapping[int, Callable[..., None]]) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, own in handlers.items():
                if number == HANGUP and signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._before[number] = signal.signal(number, own)

    def __exit__(self, *raised: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if self.last and number == SAVE else handler)

    def _end(self, number: int, frame: FrameType | None) -> None:
        first, self.signal = self.signal is None, number
        if first:
            _show_cursor()
        if self.insist:
            for each in {*self.signals} - {HANGUP}:  # a terminal and its shell both hang up
                signal.signal(each, signal.SIG_DFL)
        if first and not self._to_save and self.leave is not None:
            self.leave(self.status)

    def _save(self, number: int, frame: FrameType | None) -> None:
        self._asked = True


def _show_cursor() -> None:
    """Show the terminal's cursor, which a live display hides; a second signal can't do this."""
    if os.environ.get("TERM", "dumb") != "dumb":
        with suppress(OSError):
            if os.isatty(1):  # bypass Python's buffer, which may be in use
                os.write(1, b"\x1b[?25h")


NEVER = Interrupt([])
"""An interrupt that is never entered: no signal is ever recorded."""
