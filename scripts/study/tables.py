"""Make the tables of the study's page from the CSV files of its report."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

MODELS = "gated_rnn", "attn_rnn", "rnn", "lstm"
OPTIMIZERS = "sgd", "rmsprop", "adam"
CURES = {
    "clip=norm": "clipping by norm 1",
    "norm=batch": "batch norm",
    "norm=layer": "layer norm",
    "norm=qk": "QK norm",
    "schedule=step": "step schedule",
    "schedule=cosine": "cosine schedule",
    "schedule=warmup_cosine": "warm-up, cosine",
    "clip=norm schedule=cosine": "clipping, cosine",
    "clip=norm norm=batch schedule=cosine": "all three",
}
NONE = {"clip": "none", "norm": "none", "schedule": "constant"}
SIGNIFICANT = 0.05

Row = Mapping[str, str]


def read(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file; none if the file doesn't exist, as for a part not run.

    Args:
        path: the file.
    """
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def parsed(name: str) -> dict[str, str]:
    """Split an arm's name into keys and values.

    Args:
        name: the name of the arm.
    """
    return dict(word.split("=", 1) for word in name.split())


def cures_of(arm: Mapping[str, str]) -> str:
    """Return an arm's cures as in ``CURES``, or an empty string.

    Args:
        arm: the keys and values of the arm's name.
    """
    return " ".join(f"{key}={arm[key]}" for key, none in NONE.items() if arm[key] != none)


def plain_arms(folder: Path, table: str) -> dict[tuple[str, str], dict[str, str]]:
    """Read the rows of the arms without cures, by model and optimizer.

    Args:
        folder: the folder of the CSV files.
        table: ``arms`` or ``spikes``.
    """
    found = {}
    for row in read(folder / "cures" / f"{table}.csv"):
        arm = parsed(row["arm"])
        if not cures_of(arm) and arm.get("init.readout") != "zeros":  # not layer norm's partner
            found[arm["model"], arm["optimizer"]] = row
    return found


def at_same_rate(folder: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    """Read the comparisons at equal learning rates, by cure, optimizer and model.

    Args:
        folder: the folder of the CSV files.
    """
    found = {}
    for row in read(folder / "cures" / "comparisons.csv"):
        arm, against = parsed(row["arm"]), parsed(row["against"])
        if arm["optimizer.lr"] == against["optimizer.lr"]:
            found[cures_of(arm), arm["optimizer"], arm["model"]] = row
    return found


def plain(folder: Path) -> str:
    """Make the table of the arms without cures.

    Args:
        folder: the folder of the CSV files.
    """
    lines = [
        "| no cure | learning rate | spikes per 1,000 steps [95 %] | solved | ends solved |",
        "| --- " * 5 + "|",
    ]
    for (model, optimizer), row in plain_arms(folder, "arms").items():
        spikes, low, high = (float(row[f"spikes_per_1000{end}"]) for end in ("", "_low", "_high"))
        rate = parsed(row["arm"])["optimizer.lr"]
        ends = f"{float(row['ends_solved']):.0%}" if "ends_solved" in row else "–"
        solved = f"{float(row['solved']):.0%}" if float(row["solved"]) else "none solves"
        lines.append(
            f"| {model}, {optimizer} | {rate} | {spikes:.2f} [{low:.2f}, {high:.2f}] | {solved} | "
            f"{ends} |"
        )
    return "\n".join(lines)


def spike_differences(folder: Path) -> str:
    """Make the table of each cure's change in spikes, or in runs that diverge.

    Args:
        folder: the folder of the CSV files.
    """
    return _differences(folder, spikes_cell)


def solved_differences(folder: Path) -> str:
    """Make the table of each cure's change in runs that solve the task, and that end solved.

    Args:
        folder: the folder of the CSV files.
    """
    return _differences(folder, _solved_cell)


def _differences(folder: Path, cell: Callable[[Row], str]) -> str:
    rows = at_same_rate(folder)
    columns = [(optimizer, model) for optimizer in OPTIMIZERS for model in MODELS]
    heads = [f"{optimizer}, {model}" for optimizer, model in columns]
    lines = [f"| | {' | '.join(heads)} |", "| --- " * (len(columns) + 1) + "|"]
    for cure, words in CURES.items():
        keys = [(cure, *column) for column in columns]
        own = [cell(rows[key]) if key in rows else "" for key in keys]
        lines.append(f"| {words} | {' | '.join(own)} |")
    return "\n".join(lines)


def spikes_cell(row: Row) -> str:
    """Format a cure's change in spikes; in diverging runs if spikes are not comparable.

    A star marks a change that is decided by the report's verdict.

    Args:
        row: a row of the comparisons.
    """
    if row["comparable"] == "false":
        star = "*" * ("diverge" in row["verdict"])
        return f"{percent(row['diverged'])} points diverge{star}"
    return signed(float(row["spikes_per_1000"])) + "*" * (row["verdict"] in ("fewer", "more"))


def _solved_cell(row: Row) -> str:
    return ", ".join(
        percent(row[name]) + "*" * decided(row, name)
        for name in ("solved", "ends_solved")
        if name in row
    )


def decided(row: Row, name: str) -> bool:
    """Return whether a difference of shares is significant.

    Args:
        row: a row of the comparisons.
        name: the name of the share.
    """
    return float(row[f"p_{name}"]) < SIGNIFICANT


def runs_of(row: Row, name: str) -> int:
    """Count the runs behind a share.

    Args:
        row: a row of the arms.
        name: the name of the share.
    """
    return round(float(row[name]) * int(row["runs"]))


def signed(value: float, digits: int = 1) -> str:
    """Format a difference with its sign.

    Args:
        value: the difference.
        digits: the number of digits after the point.
    """
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")  # no −0.0


def percent(value: str) -> str:
    """Format a difference of shares in percent.

    Args:
        value: the difference, from −1 to 1.
    """
    return signed(100 * float(value), 0)
