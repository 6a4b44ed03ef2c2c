"""Write results as rows of a table, and read them back."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hw2exp.records.run_dir import RunResult

if TYPE_CHECKING:
    import polars

PLAIN = (
    "status", "step", "diverged_at", "solved_at", "ends_solved", "seconds", "training_path",
    "parameters_sha256", "metrics_sha256",
)  # fmt: skip
PARTS = {
    "initial": ("loss", "accuracy"),
    "final": ("train_loss", "test_loss", "test_accuracy"),
    "explosions": ("steps", "followed", "watched", "soon_after"),
}
"""The parts of a result that are mappings, with their keys; a column each, ``part_key``."""


def result_columns(results: Sequence[RunResult]) -> "list[polars.Series]":
    """Return the columns of some results; the config and the versions are left out.

    Args:
        results: the results, a row each.
    """
    import polars

    columns: dict[str, Any] = {name: [getattr(each, name) for each in results] for name in PLAIN}
    for name, keys in PARTS.items():
        columns |= {f"{name}_{key}": [getattr(each, name)[key] for each in results] for key in keys}
    columns["spikes"] = [each.spikes for each in results]
    return [polars.Series(name, columns[name], kind) for name, kind in result_types().items()]


def result_of(row: Mapping[str, Any], versions: Mapping[str, str]) -> RunResult:
    """Return the result of a run.

    Args:
        row: its row.
        versions: the versions that made it.
    """
    parts = {name: {key: row[f"{name}_{key}"] for key in keys} for name, keys in PARTS.items()}
    values: dict[str, Any] = {**{name: row[name] for name in PLAIN}, **parts}
    return RunResult(**values, spikes=row["spikes"], versions=versions)


def result_types() -> "dict[str, Any]":
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
        "spikes": pl.List(pl.Struct(spike)),
    }
