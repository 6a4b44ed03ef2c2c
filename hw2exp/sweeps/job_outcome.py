"""Hold the outcome of a job, and derive the exit status from it."""

import math
from dataclasses import dataclass

from hw2exp.config.job import Job
from hw2exp.runs.fleet_run import Outcome
from hw2exp.system.interrupt import Interrupt


@dataclass(frozen=True)
class JobOutcome:
    """A job that was executed.

    Args:
        job: the job.
        outcome: its result, or the error that prevented it.
    """

    job: Job
    outcome: Outcome

    @property
    def objective(self) -> float | None:
        """Return the final test loss for a sweeper to minimize; ∞ if diverged, None if failed.

        For a pruned run, it is the loss of the last test pass before it was pruned.
        """
        if isinstance(self.outcome, Exception):
            return None
        if self.outcome.status == "diverged":
            return math.inf
        return self.outcome.final["test_loss"]

    def status(self, interrupt: Interrupt) -> int:
        """Return the job's exit status; the command exits with the largest."""
        if isinstance(self.outcome, Exception):
            return interrupt.status or 1
        if self.outcome.status == "interrupted":
            return interrupt.status
        diverged = self.outcome.status == "diverged"
        return 3 if diverged and self.job.config.fail_on_divergence else 0
