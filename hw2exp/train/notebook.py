"""Show results in Python: a line, and in a notebook also a run's curve or a table of arms."""

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from hw2exp.records.arms import Arm, Run
from hw2exp.records.run_dir import RunResult
from hw2exp.records.runs import read_runs
from hw2exp.records.shown import curve_png
from hw2exp.report.measures import SHOWN, measure
from hw2exp.report.tables import cell
from hw2exp.runs.summary import number
from hw2exp.system.problems import ConfigError, counted, visible
from hw2exp.system.terminal import relative

DPI = 80
"""Pixels per inch of a curve, which is then 640 pixels wide: a notebook stays small."""

SHOWN_ARMS = 24
"""Most arms of a table."""

MEASURES = "solved", "diverged", "spikes", "test_loss"
"""The measures of the table, by the report's names."""


def run_line(folder: Path, result: RunResult) -> str:
    """Return a line about a run.

    Args:
        folder: the run folder.
        result: the run's result.
    """
    where = f" at step {result.diverged_at:,}" if result.diverged_at is not None else ""
    final = {name: result.final[name] for name in ("train_loss", "test_loss")}
    losses = [f"{name.replace('_', ' ')} {number(value)}" for name, value in final.items()]
    parts = [f"{result.status}{where} after {counted(result.step, 'step')}", *losses]
    return _line("Run", [*parts, counted(len(result.spikes), "spike")], folder)


def runs_line(folder: Path, ended: Sequence[tuple[str, int]], failed: int) -> str:
    """Return a line about the runs of a sweep, or of any folder.

    Args:
        folder: the folder of the runs.
        ended: the status of each run, and its number of spikes.
        failed: the number of further runs, which have no result.
    """
    statuses = Counter(status for status, _ in ended)
    counts = [f"{count:,} {status}" for status, count in statuses.most_common()]
    counts.append(counted(sum(spikes for _, spikes in ended), "spike"))
    lost = [f"{failed:,} without a result"] * (failed > 0)
    return _line(counted(len(ended), "run"), [*counts, *lost], folder)


def _line(what: str, parts: Sequence[str], folder: Path) -> str:
    return visible(f"<{what}: {', '.join(parts)}; {relative(folder)}>")


def run_html(line: str, folder: Path) -> str:
    """Return HTML with a line about a run above its curve.

    Args:
        line: the line.
        folder: the run folder.
    """
    try:
        picture = b64encode(curve_png(Run.read(folder, shown=True), DPI)).decode()
    except (ConfigError, OSError, ValueError) as error:
        return f"<p>{escape(line)}<br/>its curve can't be drawn: {escape(str(error))}</p>"
    source = f"data:image/png;base64,{picture}"
    return f'<p>{escape(line)}</p><img src="{source}" width="640" alt="{escape(line)}"/>'


def arms_html(line: str, folder: Path) -> str:
    """Return HTML with a line about many runs above a table of their arms.

    Args:
        line: the line.
        folder: the folder of the runs.
    """
    try:
        arms = read_runs(folder, shown=True).arms
    except (ConfigError, OSError, ValueError) as error:
        return f"<p>{escape(line)}<br/>{escape(str(error))}</p>"
    headings = ["arm", "runs", *(SHOWN[name][1] for name in MEASURES)]
    rows = [_row("th", map(escape, headings)), *map(_arm, arms[:SHOWN_ARMS])]
    rest = len(arms) - SHOWN_ARMS
    more = f"<p>and {counted(rest, 'more arm')}</p>" if rest > 0 else ""
    return f"<p>{escape(line)}</p><table>{''.join(rows)}</table>{more}"


def _arm(arm: Arm) -> str:
    """Return the row of an arm: each measure with its interval."""
    measured = measure(arm)
    cells = [cell(getattr(measured, name), SHOWN[name][2]) for name in MEASURES]
    texts = [f"{escape(each['text'])}<br/>{escape(each['interval'])}" for each in cells]
    return _row("td", [escape(visible(arm.short_name)), str(len(arm.runs)), *texts])


def _row(tag: str, cells: Iterable[str]) -> str:
    begin = f'<{tag} style="padding: 0 .5em">'  # a page without a style sheet for tables has none
    return f"<tr>{''.join(f'{begin}{each}</{tag}>' for each in cells)}</tr>"
