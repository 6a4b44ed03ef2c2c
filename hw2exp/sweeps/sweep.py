"""Runs a sweep: fleets into an executor, and what becomes of every job."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from pathlib import Path
from typing import Any

from hw2exp.config.schema import TrainConfig
from hw2exp.fleet_run import Outcome, run_fleet
from hw2exp.interrupt import Interrupt
from hw2exp.kernel import compiled_before
from hw2exp.records.run_dir import read_finished
from hw2exp.sweeps.executor import WorkerExecutor
from hw2exp.sweeps.grouping import group
from hw2exp.sweeps.live import SweepTable
from hw2exp.sweeps.progress import ProgressWriter
from hw2exp.terminal import say

LOOK = 0.25
"""Seconds between two looks at the workers."""


DRAWN = 32
"""Jobs of a sweep whose curves are drawn unless the config says otherwise: a curve takes 0.2 s."""


class NotRun(Exception):  # noqa: N818
    """A job that was not begun before the sweep was interrupted."""


def run_sweep(
    configs: Sequence[TrainConfig],
    folders: Sequence[Path],
    interrupted: Callable[[], bool] = lambda: False,
    executor: Executor | None = None,
    show: bool = True,
) -> list[Outcome]:
    """Run many jobs as fleets.

    Args:
        configs: one a job.
        folders: the run folder of each job.
        interrupted: asked now and then whether to stop.
        executor: what runs the fleets; by default worker processes on this machine, as many as
            the config's ``workers`` says.
        show: print a table that follows the sweep.

    Returns:
        What became of each job, in order.
    """
    if not configs:
        return []
    workers = configs[0].workers or available_cores()
    if len(configs) > DRAWN:
        configs = [_without_plot(config) for config in configs]
    fleets = group(configs, workers)
    if executor is None:
        with WorkerExecutor(min(workers, len(fleets))) as own:
            return run_sweep(configs, folders, interrupted, own, show)
    if show and not compiled_before():
        say("compiling kernels, once for this machine: some ten seconds")
    outcomes: dict[int, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="hw2exp-") as name:
        paths = [Path(name) / f"{number}.json" for number in range(len(fleets))]
        futures = {}
        for number, fleet in enumerate(fleets):
            own_configs, own_folders = _of(fleet, configs, folders)
            futures[executor.submit(train_fleet, own_configs, own_folders, paths[number])] = number
        table = SweepTable([[configs[job] for job in fleet] for fleet in fleets], paths, show)
        with table:
            for future in _ended(futures, table, interrupted, executor):
                number = futures[future]
                own_outcomes = _outcomes(future, _of(fleets[number], folders)[0])
                outcomes |= zip(fleets[number], own_outcomes, strict=True)
                table.ended(number, own_outcomes)
    return [outcomes[job] for job in range(len(configs))]


def _without_plot(config: TrainConfig) -> TrainConfig:
    return config.model_copy(update={"plot": False}) if config.plot == "auto" else config


def _of(fleet: list[int], *columns: Sequence[Any]) -> list[list[Any]]:
    return [[column[job] for job in fleet] for column in columns]


def _ended(
    futures: Iterable[Future[Any]],
    table: SweepTable,
    interrupted: Callable[[], bool],
    executor: Executor,
) -> Iterator[Future[Any]]:
    """Give back futures as they end; the table lives meanwhile."""
    pending, told = set(futures), False
    while pending:
        done, pending = wait(pending, LOOK, FIRST_COMPLETED)
        yield from done
        table.refresh()
        if interrupted() and not told:
            told = True
            for future in pending:
                future.cancel()
            if isinstance(executor, WorkerExecutor):
                executor.interrupt()


def _outcomes(future: Future[list[Outcome]], folders: list[Path]) -> list[Outcome]:
    """What a fleet gave, or what it left behind when its worker died."""
    if future.cancelled():
        return [NotRun("not begun before the sweep was interrupted") for _ in folders]
    error = future.exception()
    if error is None:
        return future.result()
    failure = error if isinstance(error, Exception) else RuntimeError(str(error))
    return [read_finished(folder) or failure for folder in folders]


def train_fleet(
    configs: Sequence[TrainConfig], folders: Sequence[Path], progress: Path
) -> list[Outcome]:
    """Train a fleet in a worker.

    Args:
        configs: one a replica.
        folders: their run folders.
        progress: the file that says how far it is.
    """
    with Interrupt([signal.SIGTERM]) as interrupt:  # SIGINT is for the one who started the sweep
        return run_fleet(
            configs,
            folders,
            interrupt,
            show=False,
            observe=lambda fleet: ProgressWriter(fleet, progress),
        )


def available_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
