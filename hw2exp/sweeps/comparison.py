"""Restore the comparison of arms (``prune``) of a fleet that resumes: all its runs, at one step."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hw2exp.config.run_files import METRICS
from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.pruning import PastLosses, Pruning
from hw2exp.records.checkpoint_file import Checkpoint
from hw2exp.records.metrics import MetricsTable, read_metrics
from hw2exp.records.run_dir import RunResult
from hw2exp.runs.fleet_run import find_start

Starts = dict[int, dict[int, Checkpoint | None]]
"""The checkpoint of each run, by step and place in its fleet; None for a run that starts over."""


def at_one_step(starts: Starts, folders: Sequence[Path], configs: Sequence[TrainConfig]) -> Starts:
    """Return checkpoints of one step, because arms are compared at the same step.

    If a worker died while it saved, some runs are one checkpoint ahead of others.

    Args:
        starts: the newest checkpoints.
        folders: the run folder of each run of the fleet.
        configs: the config of each run of the fleet.

    Returns:
        The checkpoints at the lowest of these steps; if a run has none there, all runs start over.
    """
    if len(starts) < 2:
        return starts
    step, quiet = min(starts), lambda line: None
    same = dict(starts[step])
    for place in sorted({place for saved in starts.values() for place in saved} - same.keys()):
        same[place] = find_start(folders[place], configs[place], quiet, before=step + 1)
    if any(saved is None or saved.step != step for saved in same.values()):
        return {0: dict.fromkeys(same)}
    return {step: same}


def comparison(
    configs: Sequence[TrainConfig],
    folders: Sequence[Path],
    ended: Mapping[int, RunResult],
    starts: Mapping[int, Checkpoint | None],
    step: int,
) -> Pruning:
    """Return the comparison of a fleet's arms in its state after a step.

    Args:
        configs: the config of each run of the fleet.
        folders: the folder of each run of the fleet.
        ended: the results of the runs that have ended, by place.
        starts: the checkpoints of the others, all of the same step, by place.
        step: the step of these checkpoints.

    Raises:
        OSError: the metrics of a run can't be read.
        ValueError: the metrics are damaged.
    """
    compared = sorted([*ended, *starts])
    past = {}
    for number, place in enumerate(compared):
        if place in ended:
            table = MetricsTable.of_frame(read_metrics(folders[place] / METRICS))
            past[number] = _losses(table, ended[place].diverged_at is not None)
        elif (saved := starts[place]) is not None:
            past[number] = _losses(saved.metrics())
    return Pruning(
        [configs[place] for place in compared], [compared.index(n) for n in starts], past, step
    )


def _losses(table: MetricsTable, diverged: bool = False) -> PastLosses:
    return PastLosses({n: row["loss_test"] for n, row in table if "loss_test" in row}, diverged)
