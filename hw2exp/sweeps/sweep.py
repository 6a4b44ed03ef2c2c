"""Run a sweep: submit fleets to an executor, and collect the outcome of every job."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any, TypeVar

from hw2exp.config.own_code import digest_of, own_choices
from hw2exp.config.schema import TrainConfig
from hw2exp.records.arms import arm_numbers
from hw2exp.records.run_dir import RunResult, read_finished
from hw2exp.runs.fleet_run import Outcome, announce_compilation
from hw2exp.sweeps.executor import ClusterLost, FleetExecutor, WorkerExecutor
from hw2exp.sweeps.fleet_task import NotRun, train_fleet
from hw2exp.sweeps.grouping import group
from hw2exp.sweeps.live import SweepTable
from hw2exp.sweeps.progress import ended
from hw2exp.system.interrupt import NEVER, SAVE, Interrupt
from hw2exp.system.problems import ConfigError, counted
from hw2exp.system.terminal import warn

T = TypeVar("T")

LOOK = 0.25
"""Longest wait between two checks of the workers, in seconds."""


DRAWN = 32
"""Most jobs of a sweep for which ``plot=auto`` draws curves: a curve takes 0.2 s."""


def run_sweep(
    configs: Sequence[TrainConfig],
    folders: Sequence[Path],
    executor: FleetExecutor,
    interrupt: Interrupt = NEVER,
    show: bool = True,
    starts: Sequence[int] | None = None,
) -> list[Outcome]:
    """Run many jobs as fleets.

    Args:
        configs: the config of each job.
        folders: the run folder of each job.
        executor: the executor of the fleets.
        interrupt: the signals to end or to save, checked now and then.
        show: whether to print a table that follows the sweep.
        starts: the step that each job resumes from; by default 0.

    Returns:
        Each job's outcome, in order.
    """
    if not configs:
        return []
    if len(configs) > DRAWN:
        configs = [_without_plot(config) for config in configs]
    starts = starts or [0] * len(configs)
    fleets = group(configs, executor.workers, starts)
    grouped = [[configs[job] for job in fleet] for fleet in fleets]
    begun = [min(starts[job] for job in fleet) for fleet in fleets]
    interrupt.begin_to_save()  # from now on, tell the workers before ending
    if show:
        note_alone(grouped)
        announce_compilation(configs)
    outcomes: dict[int, Outcome] = {}
    missing: Exception = NotRun()
    with tempfile.TemporaryDirectory(
        prefix="hw2exp-",
        dir=executor.shared,
        ignore_cleanup_errors=True,  # workers of a lost cluster still write there
    ) as name:
        paths = [Path(name) / f"{number}.json" for number in range(len(fleets))]
        table = SweepTable(grouped, paths, show, starts=begun)

        def submit(number: int) -> Future[list[Outcome]]:
            values = [configs[job].model_dump() for job in fleets[number]]
            own_folders = [folders[job] for job in fleets[number]]
            return executor.submit(train_fleet, paths[number], values, own_folders)

        with table:
            try:
                for number, future in as_they_end(submit, len(fleets), table, interrupt, executor):
                    own_outcomes = _outcomes(future, *_of(fleets[number], folders, configs))
                    outcomes |= zip(fleets[number], own_outcomes, strict=True)
                    results = [own for own in own_outcomes if isinstance(own, RunResult)]
                    done = not any(map(_was_interrupted, own_outcomes))
                    table.finish(number, ended(results, begun[number]), done)
            except ClusterLost as error:
                missing = error
    return [outcomes.get(job, missing) for job in range(len(configs))]


def note_alone(fleets: Sequence[Sequence[TrainConfig]]) -> None:
    """Warn if some fleets have nothing to prune, because they hold a single arm.

    Args:
        fleets: the configs of each fleet.
    """
    pruned = [fleet for fleet in fleets if fleet[0].prunes]
    if alone := sum(max(arm_numbers(fleet)) == 0 for fleet in pruned):
        warn(
            f"prune={pruned[0][0].prune.name}: {alone} of {counted(len(fleets), 'fleet')} "
            f"{'has' if alone == 1 else 'have'} a single arm, and nothing to compare it with: arms "
            "of a fleet differ in numbers, such as optimizer.lr, not in the model or a choice"
        )


def _was_interrupted(outcome: Outcome) -> bool:
    cut = isinstance(outcome, RunResult) and outcome.status == "interrupted"
    return cut or isinstance(outcome, NotRun)


def check_own(configs: Sequence[TrainConfig]) -> None:
    """Refuse choices that workers can't import: a worker imports the main program's file, if any.

    Raises:
        ConfigError: a choice is typed or piped, or registered below ``if __name__ == ...``.
    """
    own = own_choices(configs)
    if not own:
        return
    with WorkerExecutor(1) as worker:
        theirs = {choice: worker.check(digest_of, choice) for choice in own}
    other = [choice for choice in own if theirs[choice] != own[choice]]
    if other:
        raise ConfigError(f"{choice}: {_why(theirs[choice])}" for choice in other)


def _why(digest: str | None) -> str:
    """Return why a worker has another code of a choice, or none."""
    if digest is not None:
        return (
            "its file has changed since this process imported it; reload the module "
            "(importlib.reload), or restart"
        )
    return (
        "the workers of a sweep can't import it; register it at the top level of the script's "
        "file, or of a module that the script imports (in a notebook: %%writefile my_module.py, "
        "then import my_module)"
    )


def _without_plot(config: TrainConfig) -> TrainConfig:
    return config.model_copy(update={"plot": False}) if config.plot == "auto" else config


def _of(fleet: list[int], *columns: Sequence[Any]) -> list[Any]:
    return [[column[job] for job in fleet] for column in columns]


def as_they_end(
    submit: Callable[[int], Future[T]],
    count: int,
    table: SweepTable,
    interrupt: Interrupt,
    executor: FleetExecutor,
) -> Iterator[tuple[int, Future[T]]]:
    """Yield fleets as they end; meanwhile submit others, refresh the table, pass on signals.

    Only as many fleets are submitted as can run. So a worker that dies loses one fleet, and after
    an interrupt no fleet has to be withdrawn.

    Args:
        submit: the function that submits a fleet by number.
        count: the number of fleets.
        table: the table to refresh.
        interrupt: the signals to end or to save.
        executor: the executor of the fleets.
    """
    waiting, running, told = list(range(count)), dict[Future[T], int](), False
    while running or (waiting and not interrupt()):
        while waiting and not interrupt() and len(running) < executor.slots():
            number = waiting.pop(0)
            running[submit(number)] = number
            table.begin(number)
        if not running:
            time.sleep(LOOK)  # no machine is there yet
        for future in wait(running, LOOK, FIRST_COMPLETED).done:
            yield running.pop(future), future
        table.refresh()
        if interrupt.asked_to_save() and SAVE is not None:
            executor.tell(SAVE)
        if interrupt.signal is not None and not told:
            told = True
            executor.tell(interrupt.signal)
        if told and not executor.slots():
            return  # nobody is left who could begin a fleet, or end one


def _outcomes(
    future: Future[list[Outcome]], folders: list[Path], configs: list[TrainConfig]
) -> list[Outcome]:
    """Return a fleet's outcomes; if its worker died, read the finished runs' results."""
    error = future.exception()
    if error is None:
        return future.result()
    failure = error if isinstance(error, Exception) else RuntimeError(str(error))
    return [
        read_finished(folder, config.steps, config.eval_every) or failure
        for folder, config in zip(folders, configs, strict=True)
    ]
