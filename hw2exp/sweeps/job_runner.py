"""Run jobs for Hydra: a single one, or a batch as fleets; skip those that have their result."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from hw2exp.config.grid import Grid
from hw2exp.config.job import Base, Job
from hw2exp.config.run_files import CONFIG
from hw2exp.config.schema import TrainConfig
from hw2exp.records.checkpoint_file import Checkpoint
from hw2exp.records.checkpoint_folder import had_begun
from hw2exp.records.layout import DIAGNOSED, RUN
from hw2exp.records.run_dir import RunResult, read_finished
from hw2exp.records.shown import emptied, mend
from hw2exp.records.spike import Spike
from hw2exp.records.write_order import settle_records
from hw2exp.runs.fleet_run import Outcome, run_fleet
from hw2exp.runs.run_loggers import prepare_loggers
from hw2exp.runs.summary import print_summary
from hw2exp.sweeps.arms import print_sweep
from hw2exp.sweeps.executor import FleetExecutor, WorkerDied
from hw2exp.sweeps.failures import report
from hw2exp.sweeps.fleet_task import whereabouts
from hw2exp.sweeps.hydra_records import resolve_record
from hw2exp.sweeps.job_outcome import JobOutcome
from hw2exp.sweeps.job_return import JobFailed
from hw2exp.sweeps.launcher import Held, Key
from hw2exp.sweeps.packed_sweep import PackedOutcome, run_packed_sweep
from hw2exp.sweeps.sweep import run_sweep
from hw2exp.system.interrupt import Interrupt
from hw2exp.system.lock import FolderHeldError, hold
from hw2exp.system.problems import ConfigError, counted, printable
from hw2exp.system.terminal import echo, relative, warn

Value = float | Exception | None
"""The value of a job for a sweeper: its objective, or its failure."""


class JobRunner:
    """The task function that Hydra calls for a job; the fleet launcher calls `fleet` instead.

    Args:
        root: the folder of the single run, or of the sweep.
        interrupt: the interrupt, by signals to this process.
        executor: the executor of a sweep's fleets.

    Attributes:
        outcomes: the outcomes of the jobs that have ended, in order.
        jobs: a sweep's jobs that are known beforehand.
        single: the job of a single run.
        whole: the function that runs a sweep with packed records; None for other commands.
        packed: the outcome of such a sweep.
    """

    def __init__(
        self, root: Path, interrupt: Interrupt, executor: FleetExecutor | None = None
    ) -> None:
        self.root = root
        self.executor = executor
        self.interrupt = interrupt
        self.outcomes: list[JobOutcome] = []
        self.jobs: Mapping[Key, Job] = {}
        self.single: Job | None = None
        self.whole: Callable[[], None] | None = None
        self.packed: PackedOutcome | None = None
        self._failure: Exception | None = None

    def __call__(self, config: Any) -> float | None:
        """Run the single run, or a job of a launcher that knows no fleets."""
        with self._past_hydra():
            job = self.single or _job_of_launcher(config)
            (value,) = self._end([self._run_one(job)])
        return None if isinstance(value, Exception) else value

    def fleet(self, jobs: Sequence[Job], held: Held) -> list[Value]:
        """Run a batch of jobs as fleets, see :data:`FleetFunction`."""
        with self._past_hydra():
            return self._end(self._run_batch(jobs, held))

    def run_grid(self, grid: Grid) -> None:
        """Run the jobs of a grid, with packed records."""
        assert self.executor is not None
        with self._past_hydra():
            self.packed = run_packed_sweep(grid, self.root, self.executor, self.interrupt)
            self.outcomes.extend(self.packed.jobs)
            if self.interrupt():
                raise SystemExit(self.interrupt.status)

    @contextmanager
    def outcomes_read(self, jobs: Sequence[Job]) -> Iterator[None]:
        """Let a launcher run jobs in other processes; then read their outcomes from their folders.

        Args:
            jobs: the jobs, in their folders.
        """
        missing = WorkerDied("left no result")
        try:
            with Interrupt() as interrupt:  # by an exception, so that a launcher ends its processes
                yield
        except (Exception, SystemExit) as error:
            if interrupt():
                raise
            missing = WorkerDied(printable(f"left no result: {type(error).__name__}: {error}"))
        outcomes = []
        for job in jobs:
            result = read_finished(job.folder, job.config.steps, job.config.eval_every)
            outcomes.append(JobOutcome(job, result or missing))
        self._end(outcomes)
        print_sweep(self.outcomes, self.root)

    @contextmanager
    def failures_raised(self) -> Iterator[None]:
        """Raise the error that was hidden from Hydra; end quietly if jobs have reported theirs."""
        try:
            yield
        except SystemExit:
            if self._failure is not None:
                raise self._failure from None
            if not self.outcomes and self.packed is None:
                raise

    @contextmanager
    def _past_hydra(self) -> Iterator[None]:
        """Hide an error from Hydra, which would print its own line about it."""
        try:
            yield
        except (OSError, ConfigError) as error:
            self._failure = error
            raise SystemExit(1) from error

    def _end(self, batch: list[JobOutcome]) -> list[Value]:
        """Report failures, and return the jobs' values; after an interrupt, end the sweep."""
        self.outcomes.extend(batch)
        report(batch, self.root, self.interrupt)
        if self.interrupt():
            raise SystemExit(self.interrupt.status)
        return [
            JobFailed(str(each.outcome)) if isinstance(each.outcome, Exception) else each.objective
            for each in batch
        ]

    def _run_one(self, job: Job) -> JobOutcome:
        known = _known(job)
        outcome = known if isinstance(known, RunResult | Exception) else None
        if outcome is None:
            saved = known if isinstance(known, Checkpoint) else None
            (outcome,) = run_fleet([job.config], [job.folder], self.interrupt, saved=[saved])
        if isinstance(known, RunResult):
            echo(f"{relative(job.folder)} has its result: nothing is left to do")
        if isinstance(outcome, RunResult):
            print_summary(job.config, outcome, job.folder, job.root)
        return JobOutcome(job, outcome)

    def _run_batch(self, jobs: Sequence[Job], held: Held) -> list[JobOutcome]:
        known = [held.get(job.number) or _known(job) for job in jobs]
        saved = {
            n: each for n, each in enumerate(known) if each is None or isinstance(each, Checkpoint)
        }
        if saved:  # arms are compared with those that have ended, too
            saved |= {
                n: None
                for n, each in enumerate(known)
                if isinstance(each, RunResult) and jobs[n].config.prunes
            }
            saved = dict(sorted(saved.items()))
        self._print_begin(jobs, known)
        assert self.executor is not None
        prepare_loggers(jobs[place].config for place in saved)
        results = run_sweep(
            [jobs[place].config for place in saved],
            [jobs[place].folder for place in saved],
            self.executor,
            self.interrupt,
            starts=[each.step if each else 0 for each in saved.values()],
        )
        trained = dict(zip(saved, results, strict=True))
        outcomes = [
            JobOutcome(job, each if isinstance(each, RunResult | Exception) else trained[place])
            for place, (job, each) in enumerate(zip(jobs, known, strict=True))
        ]
        print_sweep(outcomes, jobs[0].root)
        return outcomes

    def _print_begin(
        self, jobs: Sequence[Job], known: "Sequence[Outcome | Checkpoint | None]"
    ) -> None:
        echo(f"{counted(len(jobs), 'job')} → {relative(jobs[0].root)}")
        if done := sum(isinstance(each, RunResult) for each in known):
            echo(f"{done} of {len(jobs)} jobs have their result")
        if resumed := sum(isinstance(each, Checkpoint) for each in known):
            echo(f"{counted(resumed, 'job')} of {len(jobs)} resume from a checkpoint")


def _job_of_launcher(config: Any) -> Job:
    """Return the current job of a launcher without fleets, whose records Hydra wrote."""
    hydra = HydraConfig.get()
    plain: Any = OmegaConf.to_container(config, resolve=True)
    node: Any = OmegaConf.to_container(hydra, enum_to_str=True)
    folder = Path(hydra.runtime.output_dir)
    resolve_record(folder / CONFIG, plain)
    settle_records([folder])
    full: Any = HydraConfig.instance().cfg
    job = Job(Base(full, plain, node), {}, hydra.job.num, tuple(hydra.overrides.task))
    return job.at(Path(hydra.runtime.cwd, hydra.sweep.dir))  # cwd may differ: hydra.job.chdir


def _known(job: Job) -> Outcome | Checkpoint | None:
    """Return a job's known outcome, or the checkpoint to resume from, or None."""
    try:
        config = job.config
    except ConfigError as error:  # by values that a sweeper made up
        return error
    if config.resume is None:
        return None
    found = whereabouts(job.folder, config)
    if isinstance(found, RunResult) and emptied(job.folder):
        _mend(job.folder, config, found)
    if found is None and had_begun(job.folder):
        warn(f"{job.folder} has no checkpoint that can be used: begins again at step 1")
    return found


def _mend(folder: Path, config: TrainConfig, result: RunResult) -> None:
    """Restore the lost events and curve of an ended run, or warn that this failed."""
    spikes = [Spike.of(values) for values in result.spikes]
    try:
        with hold(folder):
            mend(folder, config, spikes, result, DIAGNOSED if config.inspected else RUN)
    except (FolderHeldError, OSError, ValueError) as error:
        warn(f"{folder}: its events or its curve are empty and can't be made again: {error}")
