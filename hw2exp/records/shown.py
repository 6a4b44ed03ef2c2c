"""Write a run's events and curve, and restore them if a power cut has emptied them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hw2exp.config.run_files import CURVES, EVENTS, METRICS
from hw2exp.config.schema import TrainConfig
from hw2exp.config.settings import Plain, flat
from hw2exp.records.arms import Run
from hw2exp.records.curve_figure import curve_pictures, draw_curve
from hw2exp.records.layout import Layout
from hw2exp.records.metrics import CATALOG, MetricsTable, read_metrics
from hw2exp.records.run_dir import RunResult
from hw2exp.records.spike import Spike
from hw2exp.records.tensorboard import EventWriter
from hw2exp.records.write_order import settle
from hw2exp.system import disk
from hw2exp.system.problems import counted
from hw2exp.system.regular_file import is_blank

DIVERGED = "Loss, gradient or parameters were not finite at step {}; the run was frozen before it."


PRUNED = "The run left at step {} because its arm was behind the others of its fleet."


def begin_events(
    events: EventWriter, config: TrainConfig, layout: Layout, table: MetricsTable
) -> None:
    """Write a run's layout, config and metrics so far to a new event file.

    Args:
        events: the event file.
        config: the run's config.
        layout: the charts of the dashboard.
        table: the metrics so far.
    """
    values = flat(config)
    events.layout(layout)
    events.text("config", config_table(values))
    events.hparams(values)
    for step, row in table:
        events.scalars(step, {CATALOG[name][0]: value for name, value in row.items()})


def end_events(events: EventWriter, spikes: Sequence[Spike], result: RunResult) -> None:
    """Write the end of a run to its event file.

    Args:
        events: the event file.
        spikes: the spikes of the result.
        result: the run's result.
    """
    events.text("spikes", _spike_table(spikes))
    if result.diverged_at:
        events.text("diverged", DIVERGED.format(result.step), result.step)
    if result.pruned_at:
        events.text("pruned", PRUNED.format(result.pruned_at), result.pruned_at)
    events.end(success=result.status in ("finished", "solved", "pruned"))


def draw_run(
    folder: Path,
    config: TrainConfig,
    table: MetricsTable,
    spikes: Sequence[Spike],
    result: RunResult,
) -> None:
    """Draw ``curve.png`` and ``curve.svg`` of an ended run.

    Args:
        folder: the run folder.
        config: the run's config.
        table: the run's metrics.
        spikes: the spikes of the result.
        result: the run's result.
    """
    draw_curve(table, spikes, _title(config, result), folder, *_marks(config, result))


def curve_png(run: Run, dpi: int) -> bytes:
    """Return the picture of a run's ``curve.png``, drawn anew.

    Args:
        run: the run.
        dpi: pixels per inch.

    Raises:
        OSError: the metrics can't be read.
        ValueError: the metrics are damaged.
    """
    table = MetricsTable.of_frame(run.metrics())
    spikes = [Spike.of(each) for each in run.result.spikes]
    title, marks = _title(run.config, run.result), _marks(run.config, run.result)
    return curve_pictures(table, spikes, title, *marks, kinds=["png"], dpi=dpi)[0]


def _title(config: TrainConfig, result: RunResult) -> str:
    return f"{config.describe()}\n{result.status} after {counted(result.step, 'step')}"


def _marks(config: TrainConfig, result: RunResult) -> tuple[float, int | None, int]:
    """Return the numbers to mark: the initial loss, the step of divergence, the classes' number."""
    return result.initial["loss"], result.diverged_at, len(config.task.classes)


def emptied(folder: Path) -> list[Path]:
    """Return the event files and pictures of an ended run that are empty.

    Args:
        folder: the run folder.

    Returns:
        Their paths; if there is no event file at all, also the pattern of event files.
    """
    events = list(folder.glob(EVENTS)) or [folder / EVENTS]
    pictures = [path for name in CURVES if (path := folder / name).exists()]
    return [path for path in [*events, *pictures] if is_blank(path)]


def mend(
    folder: Path,
    config: TrainConfig,
    spikes: Sequence[Spike],
    result: RunResult,
    layout: Layout,
) -> None:
    """Restore the events and the curve of an ended run if a power cut has emptied them.

    Restored events hold the metrics, but not the diagnostics.

    Args:
        folder: the run folder.
        config: the run's config.
        spikes: the spikes of the result.
        result: the run's result.
        layout: the charts of the dashboard.

    Raises:
        OSError: the metrics can't be read, or files can't be written.
        ValueError: the metrics are damaged.
    """
    lost = emptied(folder)
    table = MetricsTable.of_frame(read_metrics(folder / METRICS))
    if any(path.match(EVENTS) for path in lost):
        for path in folder.glob(EVENTS):
            disk.remove(path)
        writer = EventWriter(folder)
        begin_events(writer, config, layout, table)
        end_events(writer, spikes, result)
        writer.close()
    if any(path.name in CURVES for path in lost):
        draw_run(folder, config, table, spikes, result)
    settle(folder)


def config_table(values: Mapping[str, Plain]) -> str:
    """Format a config as a Markdown table.

    Args:
        values: the flattened config.
    """
    rows = "".join(f"| {name} | `{value}` |\n" for name, value in values.items())
    return f"| key | value |\n| --- | --- |\n{rows}"


def _spike_table(spikes: Sequence[Spike]) -> str:
    """Format spikes as a Markdown table."""
    head = "| step | loss | median before | above the initial loss |\n| --- | --- | --- | --- |\n"
    return head + "\n".join(
        f"| {s.step} | {s.loss:.4g} | {s.median:.4g} | {'yes' if s.above_initial else 'no'} |"
        for s in spikes
    )
