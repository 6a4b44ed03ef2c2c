"""Write and read the progress of a sweep's fleets.

One small file per fleet works with any executor that shares a file system, on one machine or many.
"""

import json
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.measurements import EvalMetrics, StepMetrics
from hw2exp.records.run_dir import RunResult
from hw2exp.runs.live_curves import LiveCurves
from hw2exp.system import disk

INTERVAL = 0.5
"""Seconds between two writes."""

BINS = 64
"""Most numbers of a curve, to keep the file small."""


@dataclass(frozen=True)
class Progress:
    """The progress of one fleet.

    Args:
        step: the last step.
        replica_steps: the steps of all replicas together.
        alive: the number of replicas that still train.
        solved: the number of replicas whose task counts as solved.
        diverged: the number of replicas that turned non-finite.
        pruned: the number of replicas that were pruned.
        losses: the mean training loss so far, see ``LiveCurves.so_far``.
        norms: the mean gradient norm so far.
        worker: the machine and process that train the fleet, on a cluster.
    """

    step: int = 0
    replica_steps: int = 0
    alive: int = 0
    solved: int = 0
    diverged: int = 0
    pruned: int = 0
    losses: Sequence[float] = ()
    norms: Sequence[float] = ()
    worker: str = ""


def ended(results: Sequence[RunResult], start: int = 0) -> Progress:
    """Return the progress of a fleet that has ended.

    Args:
        results: the results of its runs.
        start: the step from which they were trained.
    """
    return Progress(
        replica_steps=sum(result.step - start for result in results),
        solved=sum(result.solved_at is not None for result in results),
        diverged=sum(result.diverged_at is not None for result in results),
        pruned=sum(result.pruned_at is not None for result in results),
    )


class ProgressWriter:
    """An observer of a fleet's training that writes its progress.

    Args:
        fleet: the fleet.
        path: the progress file.
        worker: the name of machine and process, on a cluster.
    """

    def __init__(self, fleet: Fleet, path: Path, worker: str = "") -> None:
        self.fleet = fleet
        self.path = path
        self.worker = worker
        self.curves = LiveCurves(BINS)
        self._replica_steps = 0
        self._written = 0.0

    def observe(self, steps: range, metrics: StepMetrics, tested: EvalMetrics | None) -> None:
        """Count the steps, and write the progress if it is time."""
        step = steps[-1]
        self._replica_steps += metrics.loss.numel()
        self.curves.observe(metrics)
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
            pruned=int((self.fleet.pruned_at > 0).sum()),
            losses=losses,
            norms=norms,
            worker=self.worker,
        )
        with suppress(OSError):  # only for display: training continues without
            disk.write(self.path, json.dumps(asdict(progress)).encode(), sync=False)


def read_progress(paths: Iterable[Path]) -> list[Progress | None]:
    """Read the progress of fleets.

    Returns:
        Each fleet's progress; None if the fleet has not begun, or if it can't be read now.
    """
    found: list[Progress | None] = []
    for path in paths:
        try:
            found.append(Progress(**json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError):  # also replaced meanwhile, by another machine
            found.append(None)
    return found
