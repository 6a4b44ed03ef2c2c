"""Train a fleet in a worker, each run from its newest checkpoint."""

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hw2exp.config.schema import TrainConfig
from hw2exp.config.validation import validate
from hw2exp.records.checkpoint_file import Checkpoint
from hw2exp.records.run_dir import RunResult, read_finished
from hw2exp.runs.fleet_run import Outcome, find_start, hold_folders, run_fleet
from hw2exp.sweeps.comparison import Starts, at_one_step, comparison
from hw2exp.sweeps.progress import ProgressWriter, read_progress
from hw2exp.system.interrupt import Interrupt
from hw2exp.system.lock import PATIENCE
from hw2exp.system.problems import ConfigError, counted
from hw2exp.system.terminal import echo, warn


class NotRun(Exception):  # noqa: N818
    """The outcome of a job that had not begun when the sweep was interrupted."""

    def __str__(self) -> str:
        return "not begun before the sweep was interrupted"


def train_fleet(
    progress: Path,
    values: Sequence[Mapping[str, Any]],
    folders: Sequence[Path],
    interrupt: Interrupt | None = None,
    patience: float = PATIENCE,
    worker: str = "",
    note: Callable[[str], None] = echo,
) -> list[Outcome]:
    """Train a fleet, see :func:`run_fleet`, and write its progress to a file.

    Each run resumes from its newest checkpoint, and a run that has ended is kept. So the task can
    be repeated after a worker has died at any point. The runs may then be at different steps; those
    at the same step train together.

    Args:
        progress: the progress file.
        values: the plain values of each run's config, which can be sent without any code.
        folders: the run folder of each run.
        interrupt: the interrupt that asks to end or to save; by default, by signals to this
            process.
        patience: seconds to wait for a run folder that another process holds.
        worker: the name of machine and process, for the progress.
        note: the function that receives a line if another worker had begun the fleet.
    """
    configs = [validate(each) for each in values]
    # The sweep's main process handles SIGINT. SIGTERM may come twice: from there, and to all.
    with (
        interrupt or Interrupt([signal.SIGTERM], insist=False, leave=None) as interrupt,
        ExitStack() as stack,
    ):
        try:  # before a checkpoint is chosen: the holder may save another one
            held = hold_folders(folders, stack, patience)
        except OSError as error:
            return [error for _ in configs]
        outcomes, starts = _found(configs, folders, held)
        pruning = None
        if configs[0].prunes and starts:
            starts = at_one_step(starts, folders, configs)
            ended = {n: each for n, each in outcomes.items() if isinstance(each, RunResult)}
            ((step, saved),) = starts.items()
            try:
                pruning = comparison(configs, folders, ended, saved, step)
            except (OSError, ValueError) as error:
                return [outcomes.get(place, error) for place in range(len(configs))]
        _note_resumption(progress, configs, min(starts, default=configs[0].steps), worker, note)
        for saved in starts.values():
            if interrupt():
                outcomes |= dict.fromkeys(saved, NotRun())
                continue
            results = run_fleet(
                [configs[place] for place in saved],
                [folders[place] for place in saved],
                interrupt,
                show=False,
                observe=lambda fleet: ProgressWriter(fleet, progress, worker),
                saved=list(saved.values()),
                pruning=pruning,
            )
            outcomes |= zip(saved, results, strict=True)
    return [outcomes[place] for place in range(len(configs))]


def _found(
    configs: Sequence[TrainConfig], folders: Sequence[Path], held: Mapping[int, Outcome]
) -> tuple[dict[int, Outcome], Starts]:
    """Return what is known of each run.

    Args:
        configs: the config of each run.
        folders: the run folder of each run.
        held: the outcomes of runs whose folders another process holds, by place.

    Returns:
        The outcomes, also of runs that have ended or can't resume; and the others' checkpoints.
    """
    outcomes, starts = dict(held), Starts()
    for place in sorted({*range(len(configs))} - held.keys()):
        found = whereabouts(folders[place], configs[place], warned=True)
        if isinstance(found, RunResult | Exception):
            outcomes[place] = found
        else:
            starts.setdefault(found.step if found else 0, {})[place] = found
    return outcomes, starts


def _note_resumption(
    progress: Path,
    configs: Sequence[TrainConfig],
    step: int,
    worker: str,
    note: Callable[[str], None],
) -> None:
    """Pass on a line that a fleet resumes, if another worker had begun it."""
    (begun,) = read_progress([progress])
    if begun is not None:
        runs = f"{counted(len(configs), 'run')}, {configs[0].describe_shape()}"
        note(f"{begun.worker} is gone; its fleet ({runs}) resumes at step {step + 1} at {worker}")


def whereabouts(
    folder: Path, config: TrainConfig, warned: bool = False
) -> RunResult | ConfigError | Checkpoint | None:
    """Return a run's result if it has ended, else its newest checkpoint, if any.

    A checkpoint of a run that computes something else gives an error instead.

    Args:
        folder: the run folder.
        config: the run's config.
        warned: whether the user has been warned of unusable checkpoints.
    """
    if (result := read_finished(folder, config.steps, config.eval_every)) is not None:
        return result
    try:
        return find_start(folder, config, (lambda line: None) if warned else warn)
    except ConfigError as error:
        return error
