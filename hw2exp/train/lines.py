"""Say in a line what became of a run, or of the runs of a sweep: what Python prints of them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hw2exp.records.run_dir import RunResult
from hw2exp.system.problems import counted, visible
from hw2exp.system.terminal import relative


def run_line(folder: Path, result: RunResult) -> str:
    """Return a line about a run.

    Args:
        folder: the run folder.
        result: the run's result.
    """
    where = f" at step {result.diverged_at:,}" if result.diverged_at is not None else ""
    final = {name: result.final[name] for name in ("train_loss", "test_loss")}
    losses = [f"{name.replace('_', ' ')} {_number(value)}" for name, value in final.items()]
    parts = [f"{result.status}{where} after {counted(result.step, 'step')}", *losses]
    return _line("Run", [*parts, counted(len(result.spikes), "spike")], folder)


def runs_line(folder: Path, ended: Sequence[tuple[str, int]], failed: int) -> str:
    """Return a line about the runs of a sweep, or of any folder.

    Args:
        folder: the folder of the runs.
        ended: the status of each run, and its number of spikes.
        failed: number of others, without a result.
    """
    statuses = Counter(status for status, _ in ended)
    counts = [f"{count:,} {status}" for status, count in statuses.most_common()]
    counts.append(counted(sum(spikes for _, spikes in ended), "spike"))
    lost = [f"{failed:,} without a result"] * (failed > 0)
    return _line(counted(len(ended), "run"), [*counts, *lost], folder)


def _line(what: str, parts: Sequence[str], folder: Path) -> str:
    return visible(f"<{what}: {', '.join(parts)}; {relative(folder)}>")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
