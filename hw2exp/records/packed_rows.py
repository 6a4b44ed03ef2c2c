"""Hold the records of many runs as rows of two tables: one of runs, one of metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from hw2exp.config.schema import LAST_STEP
from hw2exp.records.metrics import CATALOG, MetricsTable
from hw2exp.records.parameters import Parameters
from hw2exp.records.run_dir import PARTS, RunResult, Status
from hw2exp.records.step_table import STEP

if TYPE_CHECKING:
    import polars

JOB, LAST_LOSS, SPIKES = "job", "last_loss", "spikes"

LAST_STEPS = 20
"""The number of steps at a run's end over which ``last_loss`` is the mean training loss."""

PLAIN = (
    "status", "step", "diverged_at", "solved_at", "ends_solved", "seconds", "training_path",
    "parameters_sha256", "metrics_sha256", "pruned_at",
)  # fmt: skip

WITHIN = ("diverged_at", "solved_at", "pruned_at")
"""Columns of steps, each missing or a step of the run."""

NEEDED = (
    "seconds", "parameters_sha256", "metrics_sha256", "initial_loss", "initial_accuracy", SPIKES,
    *(f"explosions_{key}" for key in PARTS["explosions"]),
)  # fmt: skip
"""Columns without missing values, beside ``status`` and ``step``."""

LAST = "last"
"""The run's last step, beside the step of each of its spikes."""

ADDED = ("pruned_at",)
"""Columns at the end of a table of runs that older tables lack."""


@dataclass(frozen=True)
class PackedRun:
    """The records of a run.

    Args:
        result: the result; its config is not used.
        last_loss: the mean training loss of the run's last steps; None if it diverged.
        table: the metrics.
        params: the final parameters; none if they are not kept.
    """

    result: RunResult
    last_loss: float | None
    table: MetricsTable
    params: Parameters


def run_types() -> dict[str, Any]:
    """Return the types of the columns that every table of runs has."""
    import polars

    return {JOB: polars.Int64, LAST_LOSS: polars.Float64, **_result_types()}


def metrics_types() -> dict[str, Any]:
    """Return the types of the columns of a table of metrics."""
    import polars

    return {JOB: polars.Int64, STEP: polars.Int64, **dict.fromkeys(CATALOG, polars.Float64)}


def run_rows(
    numbers: Sequence[int], swept: Mapping[str, Sequence[Any]], runs: Sequence[PackedRun]
) -> "polars.DataFrame":
    """Return the rows of some runs.

    Args:
        numbers: the numbers of the jobs.
        swept: the swept values of the jobs by key.
        runs: their records.
    """
    import polars

    return polars.DataFrame(
        [
            polars.Series(JOB, numbers, dtype=polars.Int64),
            *(polars.Series(key, values) for key, values in swept.items()),
            polars.Series(LAST_LOSS, [run.last_loss for run in runs], dtype=polars.Float64),
            *_result_columns([run.result for run in runs]),
        ]
    )


def metrics_rows(numbers: Sequence[int], runs: Sequence[PackedRun]) -> "polars.DataFrame":
    """Return the metrics of some runs, a row for each run and logged step.

    Args:
        numbers: the numbers of the jobs.
        runs: their records.
    """
    import polars

    tables = [run.table for run in runs]
    jobs = np.repeat(np.asarray(numbers, dtype=np.int64), [len(table) for table in tables])
    steps = np.concatenate([table.steps for table in tables])
    values = {name: [value for t in tables for value in t.values(name)] for name in CATALOG}
    return polars.DataFrame(
        [
            polars.Series(JOB, jobs),
            polars.Series(STEP, steps),
            *(polars.Series(name, own, dtype=polars.Float64) for name, own in values.items()),
        ]
    )


def _result_columns(results: Sequence[RunResult]) -> "list[polars.Series]":
    """Return the columns of some results; the config and the versions are left out."""
    import polars

    columns: dict[str, Any] = {name: [getattr(each, name) for each in results] for name in PLAIN}
    for name, keys in PARTS.items():
        columns |= {f"{name}_{key}": [getattr(each, name)[key] for each in results] for key in keys}
    types = _result_types()
    spikes = _lists([each.spikes for each in results], types.pop(SPIKES))
    series = [polars.Series(name, columns[name], kind) for name, kind in types.items()]
    return [*series, spikes.alias(SPIKES)]


def _lists(rows: "Sequence[Sequence[Any]]", kind: "polars.List") -> "polars.Series":
    """Return a column of lists; built at once, because polars takes long to begin a list.

    Args:
        rows: the list of each row.
        kind: the type of the column.
    """
    import polars

    places = [place for place, own in enumerate(rows) for _ in own]
    values = polars.Series("value", [value for own in rows for value in own], kind.inner)
    gathered = polars.DataFrame(
        {"row": places, "value": values}, {"row": polars.Int64, "value": kind.inner}
    )
    lists = gathered.group_by("row").agg("value")  # in order within a row
    every = polars.DataFrame({"row": range(len(rows))}, {"row": polars.Int64})
    joined = every.join(lists, on="row", how="left", maintain_order="left")
    return joined["value"].fill_null([])


def result_of(row: Mapping[str, Any], versions: Mapping[str, str]) -> RunResult:
    """Return the result of a run from its row.

    Args:
        row: the row, by column.
        versions: the versions of the software that made the run.
    """
    parts = {name: {key: row[f"{name}_{key}"] for key in keys} for name, keys in PARTS.items()}
    values: dict[str, Any] = {**{name: row[name] for name in PLAIN}, **parts}
    return RunResult(**values, spikes=row[SPIKES], versions=versions)


def problem_of(rows: "polars.DataFrame") -> str | None:
    """Return what is wrong with the results of some runs, or None.

    The checks are those of :func:`hw2exp.records.run_dir.read_result`.

    Args:
        rows: the rows of the runs.
    """
    import polars as pl

    col, step = pl.col, pl.col("step")
    spikes = rows.select(step.alias(LAST), SPIKES).filter(col(SPIKES).list.len() > 0)
    spikes = spikes.explode(SPIKES).unnest(SPIKES)
    inside = [col(name).is_null() | col(name).is_between(1, step) for name in WITHIN]
    checks = [
        (rows, "status", col("status").is_in(get_args(Status))),
        (rows, "step", step.is_between(1, LAST_STEP)),
        (rows, ", ".join(WITHIN), pl.all_horizontal(inside)),
        (rows, "pruned_at", (col("status") == "pruned") == col("pruned_at").is_not_null()),
        (rows, "missing values", pl.all_horizontal(col(name).is_not_null() for name in NEEDED)),
        (spikes, SPIKES, pl.all_horizontal(pl.all().is_not_null())),
        (spikes, SPIKES, col("loss").is_finite() & col("median").is_finite()),
        (
            spikes,
            SPIKES,
            (col("start") >= 1)
            & (col("start") <= step)
            & (step <= col("end"))
            & (col("end") <= col(LAST)),
        ),
    ]
    for frame, what, right in checks:
        if not frame.select(right.fill_null(False).all()).item():
            return f"{what}: not those of a run"
    return None


def _result_types() -> "dict[str, Any]":
    """Return the types of the columns of a run's result."""
    import polars as pl

    spike = {
        **dict.fromkeys(("step", "start", "end"), pl.Int64),
        **dict.fromkeys(("loss", "median"), pl.Float64),
        **dict.fromkeys(("above_initial", "after_explosion"), pl.Boolean),
    }
    numbers = {f"{name}_{key}": pl.Float64 for name in ("initial", "final") for key in PARTS[name]}
    counts = {f"explosions_{key}": pl.Int64 for key in PARTS["explosions"]}
    texts = ("status", "training_path", "parameters_sha256", "metrics_sha256")
    return {
        **dict.fromkeys(("step", "diverged_at", "solved_at"), pl.Int64),
        **dict.fromkeys(texts, pl.String),
        "ends_solved": pl.Boolean,
        "seconds": pl.Float64,
        **numbers,
        **counts,
        SPIKES: pl.List(pl.Struct(spike)),
        **dict.fromkeys(ADDED, pl.Int64),
    }
