"""Report why jobs failed, one line per reason."""

from collections.abc import Sequence
from pathlib import Path

from hw2exp.fleet.initial_loss import InitialLossError
from hw2exp.records.checkpoint_folder import had_begun
from hw2exp.records.manifest import DamagedError
from hw2exp.runs.summary import resume_word
from hw2exp.sweeps.executor import ClusterLost, WorkerDied
from hw2exp.sweeps.job_outcome import JobOutcome
from hw2exp.system.interrupt import Interrupt
from hw2exp.system.lock import FolderHeldError, FolderLostError
from hw2exp.system.problems import ConfigError, counted
from hw2exp.system.process import cant_write
from hw2exp.system.terminal import echo_error

PRINTED, NAMED = 20, 8
"""The most reasons to print, and the most jobs to name with each."""


def report(batch: Sequence[JobOutcome], folder: Path, interrupt: Interrupt) -> None:
    """Print why jobs failed; after an interrupt, print nothing.

    Args:
        batch: jobs that have ended.
        folder: the folder of the run or of the sweep, for the command that resumes it.
        interrupt: the interrupt of the jobs.
    """
    if interrupt():
        return
    jobs_of: dict[str, list[JobOutcome]] = {}
    for each in batch:
        if isinstance(each.outcome, Exception):
            text = _why(each.outcome)
            lost = isinstance(each.outcome, FolderLostError)
            saved = isinstance(each.outcome, OSError) and not lost and had_begun(each.job.folder)
            if saved or isinstance(each.outcome, ClusterLost):
                text += f"; what was saved is whole; resume it with {resume_word(folder)}"
            jobs_of.setdefault(text, []).append(each)
    lines = [f"{_names(jobs)}{text}" for text, jobs in list(jobs_of.items())[:PRINTED]]
    if more := sum(len(jobs) for jobs in list(jobs_of.values())[PRINTED:]):
        lines.append(f"and {counted(more, 'more job')} failed")
    for line in "\n".join(lines).splitlines():
        echo_error(line)


def _names(jobs: Sequence[JobOutcome]) -> str:
    """Return the prefix that names the jobs of a message; empty for a single run."""
    if len(jobs) == 1:
        job = jobs[0].job
        return "" if job.number is None else f"job {job.number} ({' '.join(job.overrides)}): "
    more = ", …" * (len(jobs) > NAMED)
    return f"{len(jobs)} jobs ({', '.join(str(each.job.number) for each in jobs[:NAMED])}{more}): "


def _why(error: Exception) -> str:
    """Return the message of an expected error, or the type, text and notes of any other."""
    if isinstance(error, OSError):
        return cant_write(error)
    if isinstance(error, ConfigError):
        return " | ".join(error.problems)
    if isinstance(
        error,
        InitialLossError | MemoryError | WorkerDied | ClusterLost | FolderHeldError | DamagedError,
    ):
        return str(error)
    return "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
