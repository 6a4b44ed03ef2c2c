"""Make the study's tables of interventions on spikes from the CSV files of its report."""

from collections.abc import Callable, Mapping
from pathlib import Path

from study.tables import MODELS, OPTIMIZERS, SIGNIFICANT, Row, parsed, percent, read, spikes_cell

LEAD = "10"
"""The lead that the table shows."""
FEWEST = 10
"""The least number of spikes of a setting in the table."""

INTERVENTIONS = {
    **{f"clip=norm clip.max_norm={x}": f"clipping by norm {x}" for x in ("10", "1", "0.1")},
    "clip=value clip.max_value=0.1": "clipping by value 0.1",
    "clip=zclip clip.warmup_steps=2 clip.z_threshold=2.5": "ZClip, 2.5 deviations",
    **{f"lr*{x}": f"learning rate × {x}" for x in ("0.1", "0.5", "2")},
    "skip=100": "100 batches skipped",
    "data=1": "other data",
    "data=1 around=2": "other data, 5 steps",
    **{f"optimizer.mean_square*{x}": f"second moments × {x}" for x in ("0", "4")},
    "update=1": "updates clipped to RMS 1",
    "optimizer.alpha=0.9": "memory α = 0.9",
    "optimizer.mean*0": "momentum to zero",
    "optimizer.velocity*0": "momentum to zero",
    "readout*0.5": "readout × 0.5",
    "params~1e-6": "placebo: parameters × (1 + 10⁻⁶ ε)",
    "params~1e-3": "placebo: × (1 + 10⁻³ ε)",
    "params~1e-2": "placebo: × (1 + 10⁻² ε)",
}
"""Words for each intervention, in the order of the rows."""

Key = tuple[str, str, str]
"""The words for an intervention, the optimizer and the model."""


def immediate(folder: Path) -> str:
    """Make the table of what each intervention does to spikes that are about to happen.

    Args:
        folder: the folder of the CSV files.
    """
    known = read(folder / "whatif" / "effects.csv")
    rows = [row for row in known if row["lead"] == LEAD and int(row["spikes"]) >= FEWEST]
    heads = {
        _setting(row): f"{parsed(row['arm'])['optimizer.lr']}; {row['spikes']}, {row['quiet']}"
        for row in reversed(rows)  # what was tried later may have other quiet moments
    }
    return _table("rate; spikes, quiet moments", heads, _by_key(rows), _immediate_cell)


def lasting(folder: Path) -> str:
    """Make the table of what each cure does to spikes if it stays on.

    Args:
        folder: the folder of the CSV files.
    """
    rows = read(folder / "whatif" / "lasting.csv")
    without = {_setting(row): f"{float(row['without_per_1000']):.2f}" for row in rows}
    return _table("spikes per 1,000 steps without", without, _by_key(rows), spikes_cell)


def _setting(row: Row) -> tuple[str, str]:
    arm = parsed(row["arm"])
    return arm["optimizer"], arm["model"]


def _by_key(rows: list[dict[str, str]]) -> dict[Key, dict[str, str]]:
    known = [row for row in rows if row["do"] in INTERVENTIONS]
    return {(INTERVENTIONS[row["do"]], *_setting(row)): row for row in known}


def _table(
    first: str,
    heads: Mapping[tuple[str, str], str],
    rows: Mapping[Key, Row],
    cell: Callable[[Row], str],
) -> str:
    """Make a table with a column for each setting, and a row for each intervention."""
    settings = [(o, m) for o in OPTIMIZERS for m in MODELS if (o, m) in heads]
    lines = [
        f"| | {' | '.join(', '.join(setting) for setting in settings)} |",
        "| --- " * (len(settings) + 1) + "|",
        f"| {first} | {' | '.join(heads[setting] for setting in settings)} |",
    ]
    for words in dict.fromkeys(INTERVENTIONS.values()):
        own = [(words, *setting) for setting in settings]
        if any(key in rows for key in own):
            cells = [cell(rows[key]) if key in rows else "" for key in own]
            lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _immediate_cell(row: Row) -> str:
    """Format the shares of spikes that don't happen and of quiet moments with one, and the effect.

    A star marks an effect that is decided.
    """
    gone, provoked = (f"{100 * float(row[name]):.0f}" for name in ("gone", "provoked"))
    star = "*" * (float(row["p_effect"]) < SIGNIFICANT)
    return f"{percent(row['effect'])}{star} ({gone}, {provoked})"


SIGNALS = {
    "gradient": "gradient norm of the batch to come",
    "last_gradient": "gradient norm of the step before",
    "curvature_size": "curvature along the gradient, its size",
    "directional_curvature": "curvature along the gradient, signed",
    "sharpness": "sharpness against its limit",
    "gradient_growth": "growth of the gradient back through time",
    "loss": "loss of the step before",
    "loss_cusum": "CUSUM of the loss",
    "gate_saturation": "saturated gates",
    "attention_entropy": "entropy of the attention",
}
"""Words for each signal, in the order of the rows."""
POOLED = "all runs"


def warning(folder: Path) -> str:
    """Make the table of how well each signal announces a spike, some steps ahead.

    Args:
        folder: the folder of the CSV files.
    """
    rows = [row for row in read(folder / "whatif" / "warning.csv") if row["arm"] == POOLED]
    leads = sorted({int(row["lead"]) for row in rows})
    areas = {(row["signal"], int(row["lead"])): row for row in rows}
    heads = [f"{lead} steps ahead" for lead in leads]
    lines = [f"| area below the ROC curve | {' | '.join(heads)} | spikes found, {leads[0]} ahead |"]
    lines.append("| --- " * (len(leads) + 2) + "|")
    for signal, words in SIGNALS.items():
        if (signal, leads[0]) in areas:
            own = [areas[signal, lead] for lead in leads]
            found = own[0]
            recall = f"{float(found['recall']):.0%} at {float(found['false_alarms_per_1000']):.1f}"
            lines.append(f"| {words} | {' | '.join(map(_area, own))} | {recall} |")
    return "\n".join(lines)


def _area(row: Row) -> str:
    value, low, high = (float(row[f"area{end}"]) for end in ("", "_low", "_high"))
    star = "*" * (float(row["p_area"]) < SIGNIFICANT)
    return f"{value:.2f}{star} [{low:.2f}, {high:.2f}]"


JUDGED = "supported", "refuted", "undecided"


def verdicts(folder: Path) -> str:
    """Write in which settings the claims on interventions are supported, refuted and undecided.

    Args:
        folder: the folder of the CSV files.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for row in read(folder / "claims.csv"):
        where = row["where"].rpartition(": ")[2]
        if row["claim"] in CLAIMS:
            own = found.setdefault(row["claim"], {})
            own.setdefault(row["finding"], []).append(_place(where))
    lines = []
    for claim, by in found.items():
        told = [f"{finding}: {', '.join(by[finding])}" for finding in JUDGED if finding in by]
        lines.append(f"- “{claim}” ({CLAIMS[claim]}). {'; '.join(told)}.")
    return "\n".join(lines)


CLAIMS = {
    "The spikes come from exploding gradients: clipped by norm 1, they are prevented": "1.3 (a)",
    "The parameters move too far: with a tenth of the learning rate, spikes are prevented": (
        "1.3 (b)"
    ),
    "Clipping prevents spikes about to happen": "1.3 (c)",
    "Clipping that stays on takes spikes away": "1.3 (c)",
    "A lower learning rate prevents spikes about to happen": "1.3 (c)",
    "A learning rate that stays lower takes spikes away": "1.3 (c)",
    "A spike needs its data: with other batches around it, it does not happen": "PaLM, 5.1",
}
"""The claims, with the part that each is of."""


def _place(where: str) -> str:
    """Return a short name of a setting, or of an optimizer with a cure."""
    if "model=" not in where:
        optimizer, _, do = where.partition(" ")
        return f"{optimizer} {INTERVENTIONS.get(do, do)}"
    arm = parsed(where)
    return f"{arm['optimizer']} {arm['model']}"
