"""What became of a job."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hw2exp.config.schema import TrainConfig
from hw2exp.interrupt import Interrupt

if TYPE_CHECKING:
    from hw2exp.fleet_run import Outcome


@dataclass(frozen=True)
class Ended:
    """A job that was executed.

    Args:
        number: of the job in its sweep.
        overrides: what distinguishes it.
        folder: its run folder.
        root: the folder that ``resume`` would name: of its sweep, or of the single run.
        config: its config.
        outcome: its result, or why there is none.
    """

    number: int
    overrides: tuple[str, ...]
    folder: Path
    root: Path
    config: TrainConfig
    outcome: "Outcome"

    @property
    def objective(self) -> float | None:
        """The final test loss, for a sweeper that minimizes it; infinite where it diverged."""
        if isinstance(self.outcome, Exception):
            return None
        if self.outcome.status == "diverged":
            return math.inf
        return self.outcome.final["test_loss"]

    def status(self, interrupt: Interrupt) -> int:
        """Its share in the exit status.

        Args:
            interrupt: what may have come in between.
        """
        if isinstance(self.outcome, Exception):
            return interrupt.status or 1
        if self.outcome.status == "interrupted":
            return interrupt.status
        diverged = self.outcome.status == "diverged"
        return 3 if diverged and self.config.fail_on_divergence else 0
