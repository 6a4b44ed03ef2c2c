"""Hold many runs as one table: a row for each run, with its swept settings and its outcome."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from hw2exp.config.registry import CHOICES
from hw2exp.config.settings import Value
from hw2exp.records.arm_names import BROUGHT, Settings, decided, differing
from hw2exp.records.arms import Arm, Run, settings_of_arm
from hw2exp.records.packed import PackedSweep
from hw2exp.records.packed_rows import JOB, LAST_STEPS
from hw2exp.system.problems import show

if TYPE_CHECKING:
    import polars

PackedRows = tuple[PackedSweep, "polars.DataFrame"]
"""A sweep with packed records, and a row for each run that has ended."""

SEED = "seed"

RESULT: dict[str, type] = {
    JOB: int,
    "status": str,
    "step": int,
    "diverged_at": int,
    "solved_at": int,
    "ends_solved": bool,
    "last_loss": float,
    "test_loss": float,
    "test_accuracy": float,
    "spikes": int,
}
"""The columns of a run's result, with their types; all others are the seed and swept settings.

``job`` is the number of a packed run, null for a run with a folder. ``last_loss`` is the mean
training loss of the last ``LAST_STEPS`` steps, null if the run diverged; in packed records all of
these steps count, in a folder the logged ones. ``spikes`` is the number of spikes. The others are
those of :class:`~hw2exp.records.run_dir.RunResult`.
"""


OWN = "status", "step", "diverged_at", "solved_at", "ends_solved"
"""The columns that a result has under the same name."""


def swept(arms: Sequence[Arm]) -> "polars.DataFrame":
    """Return the swept settings and the seed of each run of some arms, each as a column.

    Args:
        arms: the arms; settings in which they differ become columns, except those that a choice of
            their own group decides.
    """
    import polars

    runs = [(arm, run) for arm in arms for run in arm.runs.values()]
    keys = _keys([arm.settings for arm in arms])
    columns = [_column(key, [arm.settings.get(key) for arm, _ in runs]) for key in keys]
    seeds = polars.Series(SEED, [run.config.seed for _, run in runs], dtype=polars.Int64)
    return polars.DataFrame([*columns, seeds])


def outcomes(arms: Sequence[Arm]) -> "polars.DataFrame":
    """Return :func:`swept` with the columns of ``RESULT``; this reads every run's metrics."""
    import polars

    kinds = {str: polars.String, int: polars.Int64, bool: polars.Boolean, float: polars.Float64}
    results = [_result(run) for arm in arms for run in arm.runs.values()]
    schema = {name: kinds[kind] for name, kind in RESULT.items()}
    return swept(arms).hstack(polars.DataFrame(results, schema=schema))


def packed_swept(sweeps: Sequence[PackedRows]) -> "polars.DataFrame":
    """Return the columns of :func:`swept` for packed records.

    Args:
        sweeps: each sweep with a row for each run, see :meth:`PackedSweep.runs`.
    """
    import polars

    settings = [[settings_of_arm(config) for config in sweep.configs] for sweep, _ in sweeps]
    swept = (axis for sweep, _ in sweeps for axis in sweep.axes.swept)
    data = list(dict.fromkeys(axis.key for axis in swept if axis.values is not None))
    keys = [key for key in _keys([*chain(*settings)]) if key not in data]
    keys += [key for key in data if key != SEED]
    frames = []
    for (sweep, rows), of_programs in zip(sweeps, settings, strict=True):
        own = sweep.program_of(rows[JOB].to_numpy())
        seeds = polars.Series(SEED, [sweep.configs[n].seed for n in own], dtype=polars.Int64)
        given = {axis.key: rows[axis.key] for axis in sweep.axes.swept if axis.values is not None}
        columns = [
            given[key] if key in given else _column(key, [of_programs[n].get(key) for n in own])
            for key in keys
        ]
        frames.append(polars.DataFrame([*columns, given.get(SEED, seeds)]))
    return polars.concat(frames, how="vertical_relaxed")


def planned(sweep: PackedSweep) -> "polars.DataFrame":
    """Return the columns of :func:`swept` for all jobs of a sweep, whether they have ended or not.

    Args:
        sweep: the packed records of the sweep.
    """
    import polars

    numbers = list(range(len(sweep.axes)))
    rows = polars.DataFrame({JOB: numbers} | sweep.axes.columns(numbers))
    return packed_swept([(sweep, rows)])


def packed_outcomes(sweeps: Sequence[PackedRows]) -> "polars.DataFrame":
    """Return the columns of :func:`outcomes` for packed records.

    Args:
        sweeps: each sweep with a row for each run, see :meth:`PackedSweep.runs`.
    """
    import polars

    renamed = {"test_loss": "final_test_loss", "test_accuracy": "final_test_accuracy"}
    columns = [polars.col(renamed.get(name, name)).alias(name) for name in RESULT]
    spikes = polars.col("spikes").list.len().cast(polars.Int64)
    results = [rows.with_columns(spikes).select(columns) for _, rows in sweeps]
    return packed_swept(sweeps).hstack(polars.concat(results))


def _keys(settings: Sequence[Settings]) -> list[str]:
    """Return the groups, then the keys in which arms differ, except what a group's choice decides.

    Settings that a choice of another group brings along stay, because comparisons need them.
    """
    keys = sorted(differing(settings), key=lambda key: key not in CHOICES)
    return [key for key in keys if key in {*CHOICES, *BROUGHT} or not decided(key, settings)]


def _column(key: str, values: Sequence[Value]) -> "polars.Series":
    """Return a column of numbers, or of the values as typed if they are not all numbers."""
    import polars

    if all(value is None or type(value) in (int, float) for value in values):
        whole = all(value is None or type(value) is int for value in values)
        kind = polars.Int64 if whole else polars.Float64
        return polars.Series(key, values, dtype=kind, strict=False)
    return polars.Series(key, [None if value is None else show(value) for value in values])


def _result(run: Run) -> dict[str, Any]:
    result = run.result
    diverged = result.diverged_at is not None
    return {
        JOB: None,
        **{name: getattr(result, name) for name in OWN},
        "last_loss": None if diverged else last_loss(run),
        "test_loss": result.final["test_loss"],
        "test_accuracy": result.final["test_accuracy"],
        "spikes": len(result.spikes),
    }


def last_loss(run: Run) -> float | None:
    """Return the mean of the losses logged in the last steps; without any, the final loss."""
    frame = run.metrics()
    losses = frame["loss_train"].to_numpy()[frame["step"].to_numpy() > run.result.step - LAST_STEPS]
    return float(losses.mean()) if len(losses) else run.result.final["train_loss"]
