"""Write what shows a run, its events and its curve; make again what a power cut has emptied."""

from collections.abc import Sequence
from pathlib import Path

from hw2exp import disk
from hw2exp.config.choices import OPERATIONAL
from hw2exp.config.problems import counted
from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.spikes import Spike
from hw2exp.records.curve import draw_curve
from hw2exp.records.layout import Layout
from hw2exp.records.metrics import CATALOG, MetricsTable, read_metrics
from hw2exp.records.run_dir import EVENTS, METRICS, RunResult
from hw2exp.records.tensorboard import EventWriter, flatten
from hw2exp.records.texts import config_table, spike_table
from hw2exp.records.write_order import settle

DIVERGED = "Loss, gradient or parameters were not finite at step {}; the run was frozen before it."

CURVES = "curve.png", "curve.svg"


def begin_events(
    events: EventWriter, config: TrainConfig, layout: Layout, table: MetricsTable
) -> None:
    """Write how a run is shown, its config and the metrics so far to a new event file.

    Args:
        events: the file.
        config: the run's.
        layout: the charts of its dashboard.
        table: the metrics so far.
    """
    values = flatten(config.model_dump(exclude=OPERATIONAL))
    events.layout(layout)
    events.text("config", config_table(values))
    events.hparams(values)
    for step, row in table:
        events.scalars(step, {CATALOG[name][0]: value for name, value in row.items()})


def end_events(events: EventWriter, result: RunResult) -> None:
    """Write how a run has ended.

    Args:
        events: the run's event file.
        result: the run's result.
    """
    events.text("spikes", spike_table(spikes_of(result)))
    if result.diverged_at:
        events.text("diverged", DIVERGED.format(result.step), result.step)
    events.end(success=result.status in ("finished", "solved"))


def draw_run(folder: Path, config: TrainConfig, table: MetricsTable, result: RunResult) -> None:
    """Draw ``curve.png`` and ``curve.svg`` of a run that has ended.

    Args:
        folder: the run folder.
        config: the run's.
        table: its metrics.
        result: its result.
    """
    title = f"{config.describe()}\n{result.status} after {counted(result.step, 'step')}"
    initial = result.initial["loss"]
    draw_curve(table, spikes_of(result), title, folder, initial, result.diverged_at)


def spikes_of(result: RunResult) -> Sequence[Spike]:
    """Return the spikes of a result.

    Args:
        result: the result.
    """
    return [
        Spike(**{name: value for name, value in spike.items() if name != "after_explosion"})
        for spike in result.spikes
    ]


def mend(folder: Path, config: TrainConfig, result: RunResult, layout: Layout) -> list[str]:
    """Make events and curve of an ended run again where a power cut has emptied them.

    Events hold the metrics then, not what diagnostics had drawn.

    Args:
        folder: the run folder.
        config: the run's.
        result: its result.
        layout: the charts of its dashboard.

    Returns:
        The names of what was made again.

    Raises:
        ValueError: the metrics are damaged.
    """
    events = list(folder.glob(EVENTS))
    blank = [path for path in [*events, *(folder / name for name in CURVES)] if _is_blank(path)]
    if events and not blank:
        return []
    table = MetricsTable.of_frame(read_metrics(folder / METRICS))
    mended = []
    if not events or set(events) & set(blank):
        for path in events:
            disk.remove(path)
        writer = EventWriter(folder)
        begin_events(writer, config, layout, table)
        end_events(writer, result)
        writer.close()
        mended.append("events")
    if any(path.name in CURVES for path in blank):
        draw_run(folder, config, table, result)
        mended.append("curve")
    settle(folder)
    return mended


def _is_blank(path: Path) -> bool:
    """Whether a file is there without what was written: its size, if any, is of zeros."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return not file.read(16).strip(b"\0")
