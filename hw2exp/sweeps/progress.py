"""How far each fleet of a sweep is: written by its worker, read by whoever shows it.

A small file a fleet serves any executor that shares a file system, on one machine or on many.
"""

import json
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from hw2exp import disk
from hw2exp.fleet import Fleet
from hw2exp.live_curves import LiveCurves
from hw2exp.training import Measured, Tested

INTERVAL = 0.5
"""Seconds between two writes."""

BINS = 64
"""Numbers of a curve, at most: the file is small."""


@dataclass(frozen=True)
class Progress:
    """How far one fleet is.

    Args:
        step: the last step.
        replica_steps: steps of all its replicas together.
        alive: replicas that still train.
        solved: replicas whose task counts as solved.
        diverged: replicas that turned non-finite.
        losses: the mean training loss so far, see ``LiveCurves.so_far``.
        norms: the gradient's mean norm likewise.
    """

    step: int = 0
    replica_steps: int = 0
    alive: int = 0
    solved: int = 0
    diverged: int = 0
    losses: Sequence[float] = ()
    norms: Sequence[float] = ()


class ProgressWriter:
    """Watches the loop of a fleet and writes how far it is.

    Args:
        fleet: the fleet.
        path: the file.
    """

    def __init__(self, fleet: Fleet, path: Path) -> None:
        self.fleet = fleet
        self.path = path
        self.curves = LiveCurves(BINS)
        self._replica_steps = 0
        self._written = 0.0

    def observe(self, step: int, measured: Measured, tested: Tested | None) -> None:
        """Count a step, and write if it is time."""
        self._replica_steps += len(measured.loss)
        self.curves.observe(measured)
        now = time.monotonic()
        if now - self._written < INTERVAL and step < self.fleet.config.steps:
            return
        self._written = now
        end = self.fleet.outcome
        losses, norms = self.curves.so_far()
        progress = Progress(
            step,
            self._replica_steps,
            alive=int(self.fleet.state.active.sum()),
            solved=int((end.solved_at > 0).sum()),
            diverged=int((end.diverged_at > 0).sum()),
            losses=losses,
            norms=norms,
        )
        with suppress(OSError):  # only shown: where that can't be, training goes on
            disk.write(self.path, json.dumps(asdict(progress)).encode(), sync=False)


def read_progress(paths: Iterable[Path]) -> list[Progress | None]:
    """Read how far fleets are.

    Args:
        paths: their files.

    Returns:
        Nothing for a fleet that has not begun.
    """
    found: list[Progress | None] = []
    for path in paths:
        try:
            found.append(Progress(**json.loads(path.read_text(encoding="utf-8"))))
        except FileNotFoundError:
            found.append(None)
    return found
