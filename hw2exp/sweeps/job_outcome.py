"""Hold the outcome of a job."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hw2exp.config.schema import TrainConfig
from hw2exp.system.interrupt import Interrupt

if TYPE_CHECKING:
    from hw2exp.runs.fleet_run import Outcome


@dataclass(frozen=True)
class JobOutcome:
    """A job that was executed.

    Args:
        number: the job's number in its sweep.
        overrides: the overrides that set it apart.
        folder: the run folder.
        root: the folder for ``resume``: the sweep's, or the single run's.
        config: the run's config.
        outcome: the result, or the error in its place.
    """

    number: int
    overrides: tuple[str, ...]
    folder: Path
    root: Path
    config: TrainConfig
    outcome: "Outcome"

    @property
    def objective(self) -> float | None:
        """Return the final test loss for a sweeper to minimize; inf after divergence."""
        if isinstance(self.outcome, Exception):
            return None
        if self.outcome.status == "diverged":
            return math.inf
        return self.outcome.final["test_loss"]

    def status(self, interrupt: Interrupt) -> int:
        """Return the job's exit status; the command exits with the largest.

        Args:
            interrupt: the signals received.
        """
        if isinstance(self.outcome, Exception):
            return interrupt.status or 1
        if self.outcome.status == "interrupted":
            return interrupt.status
        diverged = self.outcome.status == "diverged"
        return 3 if diverged and self.config.fail_on_divergence else 0
