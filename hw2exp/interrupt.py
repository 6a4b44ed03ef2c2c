"""Signals: some ask a run to end, one asks it to save and to go on."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

HANGUP: int | None = getattr(signal, "SIGHUP", None)
"""What comes when a terminal closes; who starts a command with nohup wants it ignored."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, *([HANGUP] if HANGUP is not None else []))
SAVE: int | None = getattr(signal, "SIGUSR1", None)
"""What clusters send some time before they end a job."""


class Interrupt:
    """While entered, notes signals, so that the step is finished and everything saved.

    Until there is something to save, a signal ends the process at once; so does a second one, as
    the system does it. Outside the main thread, where Python knows no signals, none is noted.

    Args:
        signals: which ask to end; by default SIGINT, SIGTERM and SIGHUP.
        insist: a second one ends the process at once; else it changes nothing.
        leave: how to end at once, given the exit status. To raise is polite to a caller, but gets
            lost where a compiler calls back; a process that is nobody else's takes ``os._exit``.
            If none, the system does it, and doesn't even wait for a compiler.
        last: nothing is to be saved afterwards, while the process ends: so then a signal to save
            is ignored.
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
        """Whether a signal to end has come."""
        return self.signal is not None

    def asked_to_save(self) -> bool:
        """Whether a signal to save has come since this was asked last."""
        asked, self._asked = self._asked, False
        return asked

    def begin_to_save(self) -> None:
        """From now on there is something to save before the end."""
        if not self._to_save:
            self._to_save = True
            if self.leave is None:
                self._handle(dict.fromkeys(self.signals, self._end))

    @property
    def status(self) -> int:
        """The exit status that says which signal it was: 130, 143 or 129."""
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
    """Give a terminal its cursor back, which a live display has hidden: a second signal can't."""
    if os.environ.get("TERM", "dumb") != "dumb":
        with suppress(OSError):
            if os.isatty(1):  # past Python's buffer, which may be in use
                os.write(1, b"\x1b[?25h")


NEVER = Interrupt([])
"""One that is never entered, so that none ever comes."""
