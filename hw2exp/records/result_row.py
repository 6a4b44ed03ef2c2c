"""Make a row of a run's result: a few columns that show how the run ended."""

from typing import Any

from hw2exp.records.run_dir import RunResult

FINAL = "train_loss", "test_loss", "test_accuracy"

ROW: dict[str, type] = {
    "status": str,
    **dict.fromkeys(("step", "diverged_at", "pruned_at", "solved_at"), int),
    "ends_solved": bool,
    **dict.fromkeys(("initial_loss", "initial_accuracy", *FINAL), float),
    "spikes": int,
    **dict.fromkeys(("largest_spike", "seconds"), float),
    **dict.fromkeys(("parameters_sha256", "metrics_sha256"), str),
}
"""The columns of a row, with their types; any value but the status may be missing."""


def row_of(result: RunResult) -> dict[str, Any]:
    """Return the row of a run's result, None for what is missing."""
    spikes = result.spikes
    return {
        **{name: getattr(result, name, None) for name in ROW},
        "initial_loss": result.initial["loss"],
        "initial_accuracy": result.initial["accuracy"],
        **{name: result.final[name] for name in FINAL},
        "spikes": len(spikes),
        "largest_spike": max((spike["loss"] for spike in spikes), default=None),
    }
