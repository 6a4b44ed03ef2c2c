"""Prints the README's tables of the study from its CSV files.

    python scripts/study_tables.py [DIR]

DIR is the report of a reproduction; by default docs/study, where that of the full profile is kept.
"""

import csv
import sys
from pathlib import Path

KEPT = Path(__file__).parents[1] / "docs" / "study"
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
MEASURES = {"spikes_per_1000": "spikes per 1,000 steps", "solved": "runs solved, %"}


def main(folder: Path) -> None:
    print(plain(folder))
    for measure, words in MEASURES.items():
        print(f"\n{words}: with the cure less without\n\n{differences(folder, measure)}")


def plain(folder: Path) -> str:
    """A table of the arms without cures."""
    lines = [
        "| no cure | learning rate | spikes per 1,000 steps [95 %] | solved |",
        "| --- " * 4 + "|",
    ]
    for row in read(folder / "cures" / "arms.csv"):
        arm = parsed(row["arm"])
        if not cures_of(arm):
            spikes, low, high = (
                float(row[f"spikes_per_1000{end}"]) for end in ("", "_low", "_high")
            )
            solved = float(row["solved"])
            lines.append(
                f"| {arm['model']}, {arm['optimizer']} | {arm['optimizer.lr']} | {spikes:.2f} "
                f"[{low:.2f}, {high:.2f}] | {f'{solved:.0%}' if solved else 'none solves'} |"
            )
    return "\n".join(lines)


def differences(folder: Path, measure: str) -> str:
    """A table of what each cure changes at the same learning rate; * where it is decided."""
    cells = {}
    for row in read(folder / "cures" / "comparisons.csv"):
        arm, against = parsed(row["arm"]), parsed(row["against"])
        if arm["optimizer.lr"] == against["optimizer.lr"]:
            star = "*" * (
                float(row["p_spikes" if measure.startswith("spikes") else "p_solved"]) < 0.05
            )
            size = (
                float(row[measure]) if measure.startswith("spikes") else 100 * float(row[measure])
            )
            text = f"{size:+.1f}" if measure.startswith("spikes") else f"{size:+.0f}"
            text = text.replace("-", "−")
            cells[cures_of(arm), arm["optimizer"], arm["model"]] = text + star
    columns = [(optimizer, model) for optimizer in OPTIMIZERS for model in MODELS]
    heads = [f"{optimizer}, {model}" for optimizer, model in columns]
    lines = [f"| | {' | '.join(heads)} |", "| --- " * (len(columns) + 1) + "|"]
    for cure, words in CURES.items():
        own = [cells.get((cure, *column), "") for column in columns]
        lines.append(f"| {words} | {' | '.join(own)} |")
    return "\n".join(lines)


def parsed(name: str) -> dict[str, str]:
    """An arm's name as keys and values."""
    return dict(word.split("=", 1) for word in name.split())


def cures_of(arm: dict[str, str]) -> str:
    """An arm's cures."""
    return " ".join(f"{key}={arm[key]}" for key, none in NONE.items() if arm[key] != none)


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else KEPT)
