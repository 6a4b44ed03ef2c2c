"""Write the sentences of the study's page; all findings follow from the CSV files."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from study.tables import (
    CURES,
    MODELS,
    OPTIMIZERS,
    Row,
    at_same_rate,
    cures_of,
    decided,
    parsed,
    percent,
    plain_arms,
    read,
    runs_of,
    signed,
)

FEWEST = 10
"""The least number of spikes of an arm in the statistics."""
MANY = 100
"""The least number of explosions of an arm whose share before spikes counts."""
EFFECTS = {
    (True, False): "takes spikes away, where that is decided",
    (False, True): "makes more spikes, where that is decided",
    (True, True): "takes spikes away in some settings and makes more in others",
    (False, False): "is not shown to change spikes",
}
"""The effect of a cure, by whether some setting has fewer spikes and whether some has more."""


def findings(folder: Path) -> str:
    """Write the effect of each cure, the number of lastingly solved runs, and the causes of spikes.

    Args:
        folder: the folder of the CSV files.
    """
    rows = at_same_rate(folder)
    lines = []
    for cure, words in CURES.items():
        if own := {key[1:]: row for key, row in rows.items() if key[0] == cure}:
            lines.append(_cure(words, own))
    lines += _lasting(folder) + _causes(folder)
    return "\n".join(f"- {line}" for line in lines)


def _cure(words: str, rows: dict[tuple[str, str], Row]) -> str:
    """Write the effect of a cure on spikes, on diverging runs, and on runs that solve the task."""
    by = {
        verdict: {key: row for key, row in rows.items() if row["verdict"] == verdict}
        for verdict in ("fewer", "more", "fewer diverge", "more diverge")
    }
    told = [
        f"{verdict} in {len(found)} of {len(rows)}"
        + (f" ({_listed({key: signed(float(r['spikes_per_1000'])) for key, r in found.items()})})"
           if found else "")
        for verdict, found in list(by.items())[:2]
    ]  # fmt: skip
    parts = [
        f"**{words[0].upper()}{words[1:]}** {EFFECTS[bool(by['fewer']), bool(by['more'])]}: "
        + ", ".join(told)
    ]
    apart = {key: percent(row["diverged"]) for key, row in rows.items() if not _comparable(row)}
    if apart:
        parts.append(f"runs diverge, so that spikes decide nothing: {_listed(apart)} in a hundred")
    for name, what in (("solved", "solve the task"), ("ends_solved", "end solved")):
        changed = {
            key: percent(row[name]) for key, row in rows.items()
            if name in row and decided(row, name)
        }  # fmt: skip
        if changed:
            parts.append(f"of 100 runs, so many more or fewer {what}: {_listed(changed)}")
        elif name in next(iter(rows.values())):
            parts.append(f"no change in how many {what} is decided")
    return "; ".join(parts) + "."


def _comparable(row: Row) -> bool:
    return row["comparable"] == "true"


def _listed(values: dict[tuple[str, str], str]) -> str:
    """List values by optimizer and model: ``rmsprop: rnn −7.2, lstm −0.4; adam: rnn −0.9``."""
    groups = []
    for optimizer in OPTIMIZERS:
        own = [f"{m} {values[optimizer, m]}" for m in MODELS if (optimizer, m) in values]
        if own:
            groups.append(f"{optimizer}: {', '.join(own)}")
    return "; ".join(groups)


def _lasting(folder: Path) -> list[str]:
    """Count the runs that solve the task and end solved, and list the runs that diverge."""
    arms = read(folder / "cures" / "arms.csv")
    lines = []
    if arms and "ends_solved" in arms[0]:
        told = []
        for name, some in (("without cures", False), ("with cures", True)):
            own = [row for row in arms if bool(cures_of(parsed(row["arm"]))) == some]
            solved, lasting = (
                sum(runs_of(row, key) for row in own) for key in ("solved", "ends_solved")
            )
            told.append(f"{lasting:,} of {solved:,} {name}")
        lines.append(
            f"**Solved is not for good**: of the runs that solve the task, {_and(told)} end solved."
        )
    gone = [_gone(row) for row in arms if runs_of(row, "diverged")]
    if gone:
        lines.append(f"**Runs that diverge**: {'; '.join(gone)}; in all other arms none.")
    return lines


def _gone(row: Row) -> str:
    arm = parsed(row["arm"])
    return (
        f"{runs_of(row, 'diverged')} of {row['runs']} {arm['model']} under {arm['optimizer']} at "
        f"{arm['optimizer.lr']} with {CURES.get(cures_of(arm), 'no cure')}"
    )


def _causes(folder: Path) -> list[str]:
    """Write the causes and heights of spikes without cures, and the models that have spikes."""
    found = plain_arms(folder, "spikes")
    rows = {key: row for key, row in found.items() if int(row["spikes"]) >= FEWEST}
    if not rows:
        return []
    after = {key: float(row["after_explosion"]) for key, row in rows.items()}
    base = {key: float(row["steps_after_explosion"]) for key, row in rows.items()}
    times = [after[key] / base[key] for key in rows]
    most = [_named(key) for key, row in rows.items() if float(row["after_explosion_low"]) > 0.5]
    fewest = [_named(key) for key, row in rows.items() if float(row["after_explosion_high"]) < 0.5]
    # Not chosen by spikes: an arm with explosions but no spikes is evidence too.
    exploding = [row for row in found.values() if int(row["explosions"]) >= MANY]
    alone = [1 - int(row["explosions_before_spike"]) / int(row["explosions"]) for row in exploding]
    most_explosions = (
        f"**Most explosions come before no spike**: {_range(alone)} % of those in all runs, in the "
        f"{len(exploding)} arms without cures that have {MANY} explosions or more."
        if exploding
        else f"**No arm without cures has {MANY} explosions**, to tell how many come before spikes."
    )
    above = [float(row["above_initial"]) for row in rows.values()]
    spiking = {
        model: [int(found[model, optimizer]["runs_with_spikes"]) if (model, optimizer) in found
                else 0 for optimizer in OPTIMIZERS]
        for model in ("gated_rnn", "lstm")
    }  # fmt: skip
    counts = [", ".join(map(str, spiking[model])) for model in ("gated_rnn", "lstm")]
    runs = next(iter(found.values()))["runs"]
    return [
        "**Spikes come after exploding gradients** more often than other steps do: "
        f"{_range(after.values())} % of them begin at most five steps after one, and "
        f"{_range(base.values())} % of all steps come as soon after one, which is "
        f"{_range(times, 1, 1)} times as often ({len(rows)} arms without cures, of {FEWEST} spikes "
        f"or more). That most of them do is shown for {_and(most)}, that most don't for "
        f"{_and(fewest)}.",
        most_explosions,
        f"**Above the initial loss** are {_range(above)} % of the spikes of these arms.",
        f"**Runs with a spike**, under {', '.join(OPTIMIZERS)}: of the gated RNN {counts[0]}, of "
        f"the LSTM {counts[1]}; each of {runs}.",
    ]


def _named(key: tuple[str, str]) -> str:
    return f"{key[0]} under {key[1]}"


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) or "none"


def _range(values: Iterable[float], digits: int = 0, scale: int = 100) -> str:
    known = sorted(scale * value for value in values)
    low, high = (f"{value:.{digits}f}" for value in (known[0], known[-1]))
    return low if low == high else f"{low} to {high}"
