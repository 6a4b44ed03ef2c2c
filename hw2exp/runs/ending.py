"""Make the result of a run that ends, and draw its curve."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.explosions import Preceded
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.state import FleetState
from hw2exp.records.metrics import MetricsTable
from hw2exp.records.parameters import Parameters, parameters_sha256
from hw2exp.records.run_dir import RunResult, Status, made_with
from hw2exp.records.shown import draw_run
from hw2exp.records.spike import Spike
from hw2exp.system.terminal import warn


def result_of(
    fleet: Fleet,
    state: FleetState,
    row: int,
    params: Parameters,
    initial: tuple[float, float],
    table: MetricsTable,
    spikes: Sequence[Spike],
    exploded: Preceded,
    seconds: float,
    config: Mapping[str, Any],
    pruned_at: int,
) -> RunResult:
    """Return the result of a replica that has ended.

    Args:
        fleet: the runs.
        state: a state that holds the replica's last one.
        row: the replica's row in the state.
        params: its parameters by name.
        initial: loss and accuracy before training.
        table: its metrics.
        spikes: its spikes.
        exploded: its explosions, and the spikes that they precede.
        seconds: duration of its training in seconds.
        config: its config in the form that the result holds.
        pruned_at: the step at which it was pruned, or 0.
    """
    diverged_at, solved_at = int(state.diverged_at[row]), int(state.solved_at[row])
    loss, accuracy = initial
    return RunResult(
        status="pruned" if pruned_at else _status(fleet.config, state, row),
        step=int(state.step[row]),
        diverged_at=diverged_at or None,
        solved_at=solved_at or None,
        initial={"loss": loss, "accuracy": accuracy},
        final={
            "train_loss": table.last("loss_train"),
            "test_loss": table.last("loss_test"),
            "test_accuracy": table.last("accuracy_test"),
        },
        spikes=[
            {**vars(spike), "after_explosion": after}
            for spike, after in zip(spikes, exploded.after, strict=True)
        ],
        parameters_sha256=parameters_sha256(params),
        metrics_sha256=table.digest(),
        seconds=seconds,
        versions=made_with(fleet.config),
        explosions={
            "steps": exploded.explosions,
            "followed": exploded.followed,
            "watched": exploded.watched,
            "soon_after": exploded.soon_after,
        },
        ends_solved=bool(solved_at and not diverged_at and state.passes[row] > 0),
        config=config,
        training_path=fleet.training_path,
        pruned_at=pruned_at or None,
    )


def _status(config: TrainConfig, state: FleetState, row: int) -> Status:
    if state.diverged_at[row]:
        return "diverged"
    if state.solved_at[row] and config.stop_when_solved:
        return "solved"
    return "interrupted" if state.step[row] < config.steps else "finished"


def draw_if_wanted(
    folder: Path,
    config: TrainConfig,
    table: MetricsTable,
    spikes: Sequence[Spike],
    result: RunResult,
) -> None:
    """Draw the curve of a run that has ended, if wanted; warn if it can't be drawn."""
    if not config.plot or result.status == "interrupted":
        return
    try:
        draw_run(folder, config, table, spikes, result)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # from matplotlib or a font; it must not lose the run
        warn(f"{folder}: its curve can't be drawn: {type(error).__name__}: {error}")
