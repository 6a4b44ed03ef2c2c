"""Train from Python: overrides as on the command line, results as data frames."""

import gc
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hw2exp.config.run_files import DIAGNOSTICS, METRICS
from hw2exp.config.settings import flat
from hw2exp.records.packed_rows import JOB
from hw2exp.records.run_dir import RunResult
from hw2exp.train.rows import Flat, frame_of, packed_frame, varying

if TYPE_CHECKING:
    import polars

    from hw2exp.records.packed import PackedSweep
    from hw2exp.sweeps.job_outcome import JobOutcome
    from hw2exp.sweeps.packed_sweep import PackedOutcome


@dataclass(frozen=True, repr=False)
class Run:
    """A run that has ended.

    Args:
        folder: the run folder.
        config: the config, flat: by dotted key.
        result: the content of ``result.json``.
    """

    folder: Path
    config: Flat
    result: RunResult

    def __repr__(self) -> str:
        from hw2exp.train.notebook import run_line

        return run_line(self.folder, self.result)

    def _repr_html_(self) -> str:
        from hw2exp.train.notebook import run_html

        return run_html(repr(self), self.folder)

    @cached_property
    def metrics(self) -> "polars.DataFrame":
        """Return ``metrics.parquet``: one row for each logged step."""
        from hw2exp.records.metrics import read_metrics

        return read_metrics(self.folder / METRICS)

    @cached_property
    def diagnostics(self) -> "polars.DataFrame":
        """Return ``diagnostics.parquet``: one row for each step with a diagnostic.

        Raises:
            FileNotFoundError: the run recorded no diagnostics.
        """
        from hw2exp.records.diagnostics import read_diagnostics

        if not (self.folder / DIAGNOSTICS).exists():
            raise FileNotFoundError(f"{self.folder} was not looked into; it takes diagnostics=all")
        return read_diagnostics(self.folder)

    def anatomy(self, spike: int | Literal["divergence"] = 1) -> Path:
        """Draw the cause of a spike, like ``python -m hw2exp.anatomy``.

        Args:
            spike: number of the spike, from 1; or ``"divergence"``.

        Returns:
            The path of the page, in the run folder.

        Raises:
            ConfigError: no such spike, or its steps can't be replayed.
        """
        from hw2exp.anatomy.anatomy import make_page
        from hw2exp.fleet.torch_state import torch_as_known
        from hw2exp.runs.spike_request import read_request
        from hw2exp.system.terminal import echo

        with _undisturbed(), torch_as_known():
            return make_page(read_request(self.folder, str(spike), None, "spike "), echo)


@dataclass(frozen=True, repr=False)
class Sweep:
    """A sweep that has ended.

    Args:
        folder: the sweep's folder, which holds the run folders.
        jobs: the jobs with a result, by number; empty with packed records.
        failed: the errors of all other jobs, by number.
        packed: the packed records, if the runs have no folders.
    """

    folder: Path
    jobs: dict[int, Run]
    failed: dict[int, Exception]
    packed: "PackedSweep | None" = None

    def __repr__(self) -> str:
        from hw2exp.train.notebook import runs_line

        ended = zip(self.results["status"], self.results["spikes"], strict=True)
        return runs_line(self.folder, [*ended], len(self.failed))

    def _repr_html_(self) -> str:
        from hw2exp.train.notebook import arms_html

        return arms_html(repr(self), self.folder)

    @cached_property
    def results(self) -> "polars.DataFrame":
        """Return one row for each job: the config keys that vary, then the result."""
        if self.packed is not None:
            return packed_frame(self.packed)
        configs = [job.config for job in self.jobs.values()]
        results = [job.result for job in self.jobs.values()]
        return frame_of(JOB, list(self.jobs), configs, results, varying(configs))

    @cached_property
    def metrics(self) -> "polars.DataFrame":
        """Stack the metrics of all jobs; the column ``job`` holds the job's number."""
        import polars

        if self.packed is not None:
            return self.packed.metrics()
        frames = [
            job.metrics.select(polars.lit(number).alias(JOB), polars.all())
            for number, job in self.jobs.items()
        ]
        return polars.concat(frames) if frames else polars.DataFrame()


def run(*overrides: str) -> Run:
    """Train one run, like ``python -m hw2exp.train OVERRIDE…``.

    Args:
        overrides: as on the command line, such as ``"model=attn_rnn"``.

    Raises:
        ConfigError: the input can't be run.
        InitialLossError: training would not start at ln 4.
        KeyboardInterrupt: the run was interrupted, and recorded as such.
        MemoryError: the run doesn't fit into memory.
    """
    outcomes = _execute([], overrides)
    assert isinstance(outcomes, list)
    (only,) = outcomes
    if isinstance(only.outcome, Exception):
        raise only.outcome
    return Run(only.job.folder, flat(only.job.config), only.outcome)


def sweep(*overrides: str) -> Sweep:
    """Train every combination, like ``python -m hw2exp.train -m OVERRIDE…``.

    In a script, call it below ``if __name__ == "__main__":``: the workers import the script.

    Args:
        overrides: as on the command line, such as ``"clip=none,norm"``, ``"seed=range(0,64)"``.

    Raises:
        ConfigError: the input can't be run.
        KeyboardInterrupt: the sweep was interrupted; the jobs that had begun are recorded.
        RuntimeError: no job has a result.
    """
    outcomes = _execute(["-m"], overrides)
    if not isinstance(outcomes, list):
        if not len(outcomes.sweep.runs()):
            raise RuntimeError(f"none of {len(outcomes.sweep.axes)} jobs has a result")
        return Sweep(outcomes.sweep.folder, {}, outcomes.failed, outcomes.sweep)
    if all(isinstance(each.outcome, Exception) for each in outcomes):
        first = outcomes[0].outcome
        raise RuntimeError(f"none of {len(outcomes)} jobs has a result; the first: {first}")
    return Sweep(
        outcomes[0].job.root,
        {
            each.job.number or 0: Run(each.job.folder, flat(each.job.config), each.outcome)
            for each in outcomes
            if isinstance(each.outcome, RunResult)
        },
        {e.job.number or 0: e.outcome for e in outcomes if isinstance(e.outcome, Exception)},
    )


_TURN = threading.RLock()
_trained_in: int | None = None
"""The process that trained first. A fork lacks its threads, and would wait for them forever."""


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let threads take turns, and restore the caller's Hydra state.

    Hydra and torch hold one state for the whole process.

    Raises:
        ConfigError: this process is a fork of one that has trained.
    """
    from hw2exp.config.hydra_session import hydra_kept
    from hw2exp.system.problems import ConfigError

    global _trained_in
    if _trained_in not in (None, os.getpid()):
        problem = "this process was forked from one that has trained; start it by spawn instead"
        raise ConfigError([problem])
    with _TURN, hydra_kept():
        _trained_in = os.getpid()
        try:
            yield
        finally:
            gc.unfreeze()  # this also unfreezes the caller's objects


def _execute(flags: Sequence[str], overrides: Sequence[str]) -> "list[JobOutcome] | PackedOutcome":
    with _undisturbed():
        return _executed(flags, overrides)


def _executed(flags: Sequence[str], overrides: Sequence[str]) -> "list[JobOutcome] | PackedOutcome":
    from hw2exp.config.command_line import read
    from hw2exp.sweeps.command_run import run_command
    from hw2exp.system.interrupt import Interrupt
    from hw2exp.system.problems import ConfigError

    wrong = [word for word in overrides if not isinstance(word, str) or word.startswith("-")]
    if wrong:
        raise ConfigError(
            f"{word!r}: not an override, which is a text, 'key=value'" for word in wrong
        )
    command = read([*flags, *overrides])
    if command.jobs[0].config.dry_run:
        raise ConfigError(["dry_run=true: only shows, on the command line; leave it out here"])
    try:
        with Interrupt() as interrupt:
            return run_command(command, interrupt)
    finally:
        if interrupt.signal is not None:  # all is on disk: pass it to the caller
            signal.raise_signal(interrupt.signal)
