"""Run a sweep: submit fleets to an executor, and collect the outcome of every job."""

import os
import signal
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from pathlib import Path
from typing import Any

from hw2exp.config.schema import TrainConfig
from hw2exp.models import own_digest
from hw2exp.records.checkpoint_file import Checkpoint
from hw2exp.records.run_dir import read_finished
from hw2exp.runs.fleet_run import Outcome, announce_compilation, run_fleet
from hw2exp.sweeps.executor import WorkerExecutor
from hw2exp.sweeps.grouping import group
from hw2exp.sweeps.live import SweepTable
from hw2exp.sweeps.progress import ProgressWriter
from hw2exp.system.interrupt import NEVER, SAVE, Interrupt
from hw2exp.system.problems import ConfigError

LOOK = 0.25
"""Longest wait between two checks of the workers, in seconds."""


DRAWN = 32
"""Most jobs of a sweep for which ``plot=auto`` draws curves: a curve takes 0.2 s."""


class NotRun(Exception):  # noqa: N818
    """The outcome of a job that had not begun when the sweep was interrupted."""


def run_sweep(
    configs: Sequence[TrainConfig],
    folders: Sequence[Path],
    interrupt: Interrupt = NEVER,
    executor: Executor | None = None,
    show: bool = True,
    saved: Sequence[Checkpoint | None] | None = None,
) -> list[Outcome]:
    """Run many jobs as fleets.

    Args:
        configs: one config a job.
        folders: the run folder of each job.
        interrupt: the signals to end or to save, checked now and then.
        executor: the executor of the fleets; by default worker processes on this machine, at most
            the config's ``workers``.
        show: whether to print a table that follows the sweep.
        saved: the checkpoint that each job resumes from, if any.

    Returns:
        Each job's outcome, in order.
    """
    if not configs:
        return []
    workers = configs[0].workers or available_cores()
    if len(configs) > DRAWN:
        configs = [_without_plot(config) for config in configs]
    saved = saved or [None] * len(configs)
    starts = [0 if each is None else each.step for each in saved]
    fleets = group(configs, workers, starts)
    if executor is None:
        with WorkerExecutor(min(workers, len(fleets))) as own:
            return run_sweep(configs, folders, interrupt, own, show, saved)
    interrupt.begin_to_save()  # from now on, tell the workers before ending
    if show:
        announce_compilation()
    outcomes: dict[int, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="hw2exp-") as name:
        paths = [Path(name) / f"{number}.json" for number in range(len(fleets))]
        futures = {
            executor.submit(train_fleet, path, *_of(fleet, configs, folders, saved)): number
            for number, (fleet, path) in enumerate(zip(fleets, paths, strict=True))
        }
        table = SweepTable(
            [[configs[job] for job in fleet] for fleet in fleets],
            paths,
            show,
            starts=[starts[fleet[0]] for fleet in fleets],
        )
        with table:
            for future in _ended(futures, table, interrupt, executor):
                number = futures[future]
                own_outcomes = _outcomes(future, *_of(fleets[number], folders, configs))
                outcomes |= zip(fleets[number], own_outcomes, strict=True)
                table.finish(number, own_outcomes)
    return [outcomes[job] for job in range(len(configs))]


def check_cells(configs: Sequence[TrainConfig]) -> None:
    """Refuse cells that workers can't import: a worker imports the main program's file, if any.

    Raises:
        ConfigError: a cell is typed or piped, or registered below ``if __name__ == ...``.
    """
    own = {config.model.name: own_digest(config.model.name) for config in configs}
    own = {name: digest for name, digest in own.items() if digest is not None}
    if not own:
        return
    with WorkerExecutor(1) as worker:
        missing = [name for name in own if worker.check(own_digest, name) != own[name]]
    if missing:
        raise ConfigError(
            f"model={name}: the workers of a sweep can't import this cell; register it at the top "
            "level of the script's file, or of a module that the script imports"
            for name in missing
        )


def _without_plot(config: TrainConfig) -> TrainConfig:
    return config.model_copy(update={"plot": False}) if config.plot == "auto" else config


def _of(fleet: list[int], *columns: Sequence[Any]) -> list[Any]:
    return [[column[job] for job in fleet] for column in columns]


def _ended(
    futures: Iterable[Future[Any]],
    table: SweepTable,
    interrupt: Interrupt,
    executor: Executor,
) -> Iterator[Future[Any]]:
    """Yield futures as they end; meanwhile refresh the table and pass on signals."""
    pending, interrupted = set(futures), False
    while pending:
        done, pending = wait(pending, LOOK, FIRST_COMPLETED)
        yield from done
        table.refresh()
        own = executor if isinstance(executor, WorkerExecutor) else None
        if interrupt.asked_to_save() and own and SAVE is not None:
            own.tell(SAVE)
        if interrupt() and not interrupted:
            interrupted = True
            for future in pending:
                future.cancel()
            if own:
                own.interrupt()


def _outcomes(
    future: Future[list[Outcome]], folders: list[Path], configs: list[TrainConfig]
) -> list[Outcome]:
    """Return a fleet's outcomes; if its worker died, read the finished runs' results."""
    if future.cancelled():
        return [NotRun("not begun before the sweep was interrupted") for _ in folders]
    error = future.exception()
    if error is None:
        return future.result()
    failure = error if isinstance(error, Exception) else RuntimeError(str(error))
    return [
        read_finished(folder, config.steps, config.eval_every) or failure
        for folder, config in zip(folders, configs, strict=True)
    ]


def train_fleet(
    progress: Path,
    configs: Sequence[TrainConfig],
    folders: Sequence[Path],
    saved: Sequence[Checkpoint | None],
) -> list[Outcome]:
    """Train a fleet in a worker, see :func:`run_fleet`, and write its progress to a file."""
    # The sweep's main process handles SIGINT. SIGTERM may come twice: from there, and to all.
    with Interrupt([signal.SIGTERM], insist=False, leave=None) as interrupt:
        return run_fleet(
            configs,
            folders,
            interrupt,
            show=False,
            observe=lambda fleet: ProgressWriter(fleet, progress),
            saved=saved,
        )


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
