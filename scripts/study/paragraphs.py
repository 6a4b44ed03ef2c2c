"""Write the paragraphs of the study's page besides cures; all findings follow from CSV files."""

import math
from pathlib import Path

from study.tables import Row, parsed, read, runs_of

METHODS = {
    ("none", "none"): "SGD",
    ("norm", "none"): "clipping",
    ("norm", "omega"): "clipping and Ω",
}
"""Methods by clipping and regularizer."""
ABSENT = {"clip=none", "schedule=constant"}
"""Words of an arm's name that stand for no cure."""


def brake(folder: Path) -> str:
    """Write the effects of an explosion under RMSprop, by stage of learning.

    Args:
        folder: the folder of the CSV files.
    """
    heads = (
        "clipping, memory α",
        "stage",
        "explosions: all, looked at",
        "movement of the parameters [95 %]",
        "spikes in the 150 steps after [95 %]",
        "in as many steps anywhere",
    )
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    rows = read(folder / "brake" / "aftermath.csv")
    for row in rows:
        arm = parsed(row["arm"])
        moved, spikes = (_interval(row, name) for name in ("moved", "spikes_after"))
        cells = (
            f"{arm['clip']}, {arm['optimizer.alpha']}",
            row["stage"],
            f"{int(row['explosions']):,}, {row['bursts']}",
            moved,
            spikes,
            f"{float(row['spikes_in_as_many_steps']):.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    arms = [
        f"{arm['clip']}, {arm['optimizer.alpha']}: {_interval(row, 'spikes_per_1000', 1)}"
        for row in read(folder / "brake" / "arms.csv")
        if (arm := parsed(row["arm"]))
    ]
    told = f"Spikes per 1,000 steps: {'; '.join(arms)}."
    verdicts = [
        f"“{claim}”: {'; '.join(f'{where} {finding}' for where, finding in judged)}."
        for claim, judged in _claims(folder, "its mechanism").items()
    ]
    return "\n".join([*lines, "", told, *verdicts]) if rows else ""


def _claims(folder: Path, part: str) -> dict[str, list[tuple[str, str]]]:
    """Return for each claim of a part the places and the findings of its judgments."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in read(folder / "claims.csv"):
        if row["part"] == part:
            where = row["where"].rpartition(": ")[2]
            found.setdefault(row["claim"], []).append((where, row["finding"]))
    return found


def _interval(row: Row, name: str, digits: int = 2) -> str:
    value, low, high = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    told = f"{value:,.{digits}f}"
    return told if math.isnan(low) else f"{told} [{low:,.{digits}f}, {high:,.{digits}f}]"


def notebook(folder: Path) -> str:
    """Write how the published curve compares with torch's own runs, and the effect of cures.

    Args:
        folder: the folder of the CSV files.
    """
    judged = [
        f"- “{row['claim']}”: {row['finding']}; {row['numbers']}."
        for row in read(folder / "claims.csv")
        if row["part"] == "the notebook"
    ]
    arms = []
    for row in read(folder / "notebook" / "arms.csv"):
        words = [word for word in row["arm"].split() if word not in ABSENT]
        spikes = _interval(row, "spikes_per_1000", 1)
        solved = f"{runs_of(row, 'solved')} of {row['runs']} solve the task"
        arms.append(f"{' '.join(words) or 'no cure'} {spikes}, {solved}")
    return "\n".join([*judged, f"- Spikes per 1,000 steps: {'; '.join(arms)}."])


def pascanu(folder: Path) -> str:
    """Write the share of runs that each method solves over all lengths, by initialization.

    Args:
        folder: the folder of the CSV files.
    """
    shares: dict[str, dict[str, list[float]]] = {}
    for row in read(folder / "pascanu" / "arms.csv"):
        arm = parsed(row["arm"])
        method = METHODS[arm["clip"], arm["regularizer"]]
        own = shares.setdefault(_start(arm), {})
        own.setdefault(method, []).append(float(row["solved"]))
    judged = [f for each in _claims(folder, "Pascanu, fig. 7").values() for _, f in each]
    told = [
        f"{name}: "
        + ", ".join(f"{method} {sum(own) / len(own):.0%}" for method, own in methods.items())
        for name, methods in shares.items()
    ]
    order = f" That order is {', '.join(judged)} in them." if judged else ""
    return f"Solved over all lengths, {'; '.join(told)}.{order}" if told else ""


def _start(arm: Row) -> str:
    """Return the name of an initialization in the paper."""
    if arm["model.nonlinearity"] == "sigmoid":
        return "sigmoid"
    return "smart tanh" if arm["init.recurrent"] == "sparse" else "tanh"


def hochreiter(folder: Path) -> str:
    """Write the number of LSTMs that solve HARD, and the median number of sequences until then.

    Args:
        folder: the folder of the CSV files.
    """
    return "".join(
        f"{runs_of(row, 'solved')} of {row['runs']} LSTMs of 16 units solve HARD, one sequence at "
        f"a time, after {_interval(row, 'steps_to_solve_median', 0)} sequences in the median."
        for row in read(folder / "hochreiter" / "arms.csv")
    )
