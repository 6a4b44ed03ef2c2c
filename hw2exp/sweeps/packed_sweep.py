"""Run a sweep with packed records: fleets of a grid, without files for each job."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hw2exp.config.axes import Numbers
from hw2exp.config.grid import Grid
from hw2exp.config.packing import without_effect
from hw2exp.config.run_files import ARMS
from hw2exp.records.packed import PackedSweep
from hw2exp.records.packed_rows import JOB
from hw2exp.runs.fleet_run import Outcome, announce_compilation
from hw2exp.runs.summary import resume_word
from hw2exp.sweeps.arms import SHOWN, arms_of, ended, table_text
from hw2exp.sweeps.executor import ClusterLost, FleetExecutor, WorkerDied
from hw2exp.sweeps.failures import report
from hw2exp.sweeps.fleet_task import NotRun
from hw2exp.sweeps.grouping import AUTOGRAD, by_autograd, cost, whole_arms
from hw2exp.sweeps.job_outcome import JobOutcome
from hw2exp.sweeps.live import SweepTable
from hw2exp.sweeps.packed_task import PackedEnd, PackedFleet, train_packed
from hw2exp.sweeps.progress import Progress
from hw2exp.sweeps.sweep import as_they_end, note_alone
from hw2exp.system.interrupt import Interrupt
from hw2exp.system.problems import counted
from hw2exp.system.terminal import echo, relative, typed, warn

if TYPE_CHECKING:
    import polars

MOST_LISTED = 16_384
"""Most jobs of a sweep at whose end a table of arms is printed."""

PACKED_SIZE = 256
"""Default largest fleet, in runs: at this size, files and tasks cost little for each run."""


@dataclass(frozen=True)
class PackedOutcome:
    """The outcome of a sweep with packed records.

    Args:
        sweep: the records.
        jobs: all jobs; empty if they are too many, or of too many arms, for a table.
        failed: the error of each job that could not train, by number.
        missing: the number of jobs that have neither a result nor an error.
        diverged: the number of runs that diverged.
        strict: whether one of these has ``fail_on_divergence``.
    """

    sweep: PackedSweep
    jobs: Sequence[JobOutcome]
    failed: dict[int, Exception]
    missing: int
    diverged: int
    strict: bool

    def metrics_of(self, job: JobOutcome) -> "polars.DataFrame":
        """Return the metrics of a job.

        Raises:
            ValueError: it has none, or they are damaged.
        """
        assert job.job.number is not None
        return self.sweep.metrics_of(job.job.number)

    def status(self, interrupt: Interrupt) -> int:
        """Return the exit status."""
        if self.failed or self.missing:
            return interrupt.status or 1
        return 3 if self.strict else 0


def run_packed_sweep(
    grid: Grid, root: Path, executor: FleetExecutor, interrupt: Interrupt
) -> PackedOutcome:
    """Run the jobs of a grid whose records are not there yet, and write them.

    Args:
        grid: the jobs.
        root: the folder of the sweep.
        executor: the executor of the fleets.
        interrupt: the signals to end, checked now and then.
    """
    folder = Path(os.path.abspath(root))  # workers may have another current folder
    sweep = PackedSweep(folder, grid.axes, [job.config for job in grid.templates])
    sweep.begin()
    done = sweep.settle(warn)
    fleets = list(_fleets(sweep, done, executor.workers))
    echo(f"{len(grid):,} jobs in {counted(len(fleets), 'fleet')} → {relative(root)}, packed")
    for setting in without_effect(grid):
        warn(f"{setting}: has no effect, since packed records have no checkpoints")
    if len(done):
        echo(f"{len(done):,} of {len(grid):,} jobs have their result")
    if fleets:
        note_alone([[sweep.config(job) for job in (jobs[0], jobs[-1])] for _, jobs in fleets])
        announce_compilation(sweep.configs)
    failed = _train(sweep, fleets, executor, interrupt) if fleets else {}
    report(
        [JobOutcome(grid.job(n).at(root), error) for n, error in failed.items()], root, interrupt
    )
    runs = sweep.runs()
    missing = len(grid) - len(runs) - len(failed)
    jobs = [] if _too_many_arms(sweep) else _jobs(grid, sweep, failed)
    at = runs.filter(runs["diverged_at"].is_not_null())[JOB].to_numpy()
    strict = any(sweep.configs[n].fail_on_divergence for n in {*sweep.program_of(at).tolist()})
    outcome = PackedOutcome(sweep, jobs, failed, missing, len(at), strict)
    _print_end(outcome, runs)
    return outcome


def _too_many_arms(sweep: PackedSweep) -> bool:
    """Return whether a sweep has too many arms, or jobs, for a table of arms."""
    arms = prod(len(axis.lines) for axis in sweep.axes.swept if axis.key != "seed")
    return arms > SHOWN or len(sweep.axes) > MOST_LISTED


def _jobs(grid: Grid, sweep: PackedSweep, failed: Mapping[int, Exception]) -> list[JobOutcome]:
    """Return all jobs with their results or errors."""
    known: dict[int, Outcome] = {**failed, **dict(sweep.results())}
    return [
        JobOutcome(grid.job(number).at(sweep.folder), known.get(number, NotRun()))
        for number in range(len(grid))
    ]


def _fleets(sweep: PackedSweep, done: Numbers, workers: int) -> Iterator[tuple[int, list[int]]]:
    """Yield the program and the jobs of each fleet that is left, the costliest programs first."""
    ended = np.zeros(len(sweep.axes), dtype=np.bool_)
    ended[done] = True
    share = -(-(len(sweep.axes) - len(done)) // workers)
    programs = enumerate(sweep.axes.programs())
    for program, numbers in sorted(programs, key=lambda each: -cost(sweep.configs[each[0]])):
        config = sweep.configs[program]
        most = config.fleet_size or (AUTOGRAD if by_autograd(config) else PACKED_SIZE)
        if config.prunes:
            fleets = whole_arms(_arms(sweep, numbers), most)
            left = ([job for job in fleet if not ended[job]] for fleet in fleets)
            yield from ((program, fleet) for fleet in left if fleet)
            continue
        size = max(1, min(most, share))
        jobs = numbers[~ended[numbers]].tolist()
        yield from ((program, jobs[at : at + size]) for at in range(0, len(jobs), size))


def _arms(sweep: PackedSweep, numbers: Numbers) -> list[list[int]]:
    """Gather the jobs of a program into arms, by seed."""
    arms: dict[tuple[float, ...], list[tuple[int, int]]] = {}
    for number in numbers.tolist():
        data = sweep.axes.data(number)
        seed = int(data.pop("seed", 0))
        arms.setdefault(tuple(data.values()), []).append((seed, number))
    return [[number for _, number in sorted(arm)] for arm in arms.values()]


def _train(
    sweep: PackedSweep,
    fleets: Sequence[tuple[int, list[int]]],
    executor: FleetExecutor,
    interrupt: Interrupt,
) -> dict[int, Exception]:
    """Train fleets; return the error of each job that could not train, by number."""
    failed: dict[int, Exception] = {}
    interrupt.begin_to_save()
    with tempfile.TemporaryDirectory(
        prefix="hw2exp-", dir=executor.shared, ignore_cleanup_errors=True
    ) as name:
        paths = [Path(name) / f"{number}.json" for number in range(len(fleets))]
        table = SweepTable([[sweep.configs[p]] * len(own) for p, own in fleets], paths)

        def submit(number: int) -> Future[PackedEnd]:
            program, numbers = fleets[number]
            fleet = PackedFleet(
                sweep.path,
                sweep.configs[program].model_dump(),
                numbers,
                [sweep.axes.data(job) for job in numbers],
                sweep.axes.columns(numbers),
            )
            return executor.submit(train_packed, paths[number], fleet)

        with table:
            try:
                each = as_they_end(submit, len(fleets), table, interrupt, executor)
                for number, future in each:
                    end = _end_of(future, fleets[number][1], interrupt)
                    failed |= end.failed
                    table.finish(number, end.progress or Progress(), end.progress is not None)
            except ClusterLost as error:
                lost = {job for _, own in fleets for job in own} - {*sweep.runs()[JOB]}
                failed |= dict.fromkeys(sorted(lost), error)
    return failed


def _end_of(future: Future[PackedEnd], numbers: Sequence[int], interrupt: Interrupt) -> PackedEnd:
    """Return the end of a fleet; if it raised an error, all of its jobs have failed.

    But a worker that died after an interrupt has not failed: it had nothing to save.
    """
    error = future.exception()
    if error is None:
        return future.result()
    if interrupt() and isinstance(error, WorkerDied):
        return PackedEnd(None, {})
    failure = error if isinstance(error, Exception) else RuntimeError(str(error))
    return PackedEnd(Progress(), dict.fromkeys(numbers, failure))


def _print_end(outcome: PackedOutcome, runs: "polars.DataFrame") -> None:
    """Print the outcomes of the runs, and the commands to look at them or to resume."""
    sweep, folder, lines = outcome.sweep, typed(outcome.sweep.folder), list[str]()
    arms = arms_of(outcome.jobs)
    if arms:
        lines.append(table_text(arms, sweep.folder))
    else:
        solved = int(runs["solved_at"].is_not_null().sum())
        spikes = int(runs["spikes"].list.len().sum())
        pruned = int(runs["pruned_at"].is_not_null().sum())
        counts = f"{solved:,} solved, {outcome.diverged:,} diverged, {spikes:,} spikes"
        counts += f", {pruned:,} pruned" * (pruned > 0)
        of_all = f" of {len(sweep.axes):,}" * (len(runs) < len(sweep.axes))
        lines.append(f"{len(runs):,}{of_all} runs: {counts}")
    if len(runs):
        lines.append(f"  look at   python -m hw2exp.report {folder}")
        if any(sum(map(ended, arm.outcomes)) > 1 for arm in arms):
            lines.append(f"  or run    tensorboard --logdir {typed(sweep.folder / ARMS)}")
        lines.append(f"  one run   python -m hw2exp.extract {folder} --job {runs[JOB][0]}")
    if outcome.failed or outcome.missing:
        lines.append(f"  resume    the same command with {resume_word(sweep.folder)}")
    echo("\n".join(lines))
