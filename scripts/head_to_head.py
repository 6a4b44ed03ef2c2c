"""Compare every cure with none: one table and one figure of docs/study/head_to_head.

    python scripts/head_to_head.py [--full] [--seeds N] [--out DIR] [--docs DIR] [model ...]

Each cure is tuned by the same rule with the same budget, its own knob included; then it is run over
many seeds, at its best learning rate and up to two octaves around. After an interruption, the same
command resumes.
"""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars

from hw2exp.compare.contrasts import Contrast, contrasts, decided, paired
from hw2exp.compare.measures import MEASURES
from hw2exp.records.arms import Arm
from hw2exp.records.figure_style import encoded, figure_style
from hw2exp.records.runs import read_runs
from hw2exp.report.measures import measure
from hw2exp.report.style import panels_of
from hw2exp.system import disk
from study.head_to_head import CURES, OPTIMIZERS, Cure, cures_of
from study.head_to_head_table import markdown
from study.step_times import slowdown
from study.sweeps import TUNING_SEED, seeds, sweep, values

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Learning rates of the comparison, in units of the best: up to two octaves around it."""

RUNS = ("task=easy", "steps=600", "batch_size=16", "eval_every=50", "eval_batches=8",
        "check_initial_loss=off", "plot=false", "records=packed")  # fmt: skip
"""The settings of all runs."""

SEEDS = (16, 64)
"""The choices of ``--seeds``. The runs of 64 go on from the runs of 16."""

FULL_COLOR = 0.9
"""The share of differences with less than the full color, so that one cure does not pale all."""

COMPARED = ("solved", "spikes", "spike_score", "lr_sensitivity")
"""The measures of the table."""


@dataclass(frozen=True)
class Profile:
    """A size of the comparison.

    Args:
        models: the models.
        seeds: the number of runs of an arm.
        budget: the number of settings that are tried for each cure.
        tuning_seeds: the number of runs of each setting.
        factors: learning rates in units of the best.
    """

    models: tuple[str, ...]
    seeds: int
    budget: int
    tuning_seeds: int
    factors: tuple[float, ...]


MODELS = ("gated_rnn", "attn_rnn", "attn_rnn_inf", "rnn", "lstm")
FULL = Profile(MODELS, 64, 12, 4, FACTORS)
QUICK = Profile(("attn_rnn", "rnn"), 16, 6, 2, (0.5, 1.0, 2.0))

Key = tuple[str, str, str]
"""Model, optimizer and cure."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="model", help=f"{', '.join(MODELS)}")
    parser.add_argument("--full", action="store_true", help="all models, 64 seeds: some hours")
    parser.add_argument("--seeds", type=int, choices=SEEDS, help="runs of an arm")
    parser.add_argument("--out", type=Path, metavar="DIR", help="by default outputs/head_to_head/…")
    parser.add_argument("--docs", type=Path, default=Path("docs/study/head_to_head"), metavar="DIR")
    arguments = parser.parse_args()
    if unknown := set(arguments.models) - set(MODELS):
        parser.error(f"no model {', '.join(sorted(unknown))}; there are {', '.join(MODELS)}")
    profile = FULL if arguments.full else QUICK
    profile = replace(profile, seeds=arguments.seeds or profile.seeds)
    size = "full" if arguments.full else "quick"
    folder = arguments.out or Path("outputs", "head_to_head", size)
    try:
        rows = [
            row
            for model in arguments.models or profile.models
            for optimizer in OPTIMIZERS
            for row in compared(run(profile, folder, model, optimizer), model, optimizer)
        ]
    except KeyboardInterrupt:
        print("interrupted; the same command resumes", file=sys.stderr)
        return 130
    write(rows, arguments.docs)
    return 0


def run(profile: Profile, folder: Path, model: str, optimizer: str) -> dict[str, list[Arm]]:
    """Tune and run every cure; return its arms, one for each learning rate, the best first."""
    found = {}
    for name, cure in cures_of(model, optimizer):
        words = [f"model={model}", f"optimizer={optimizer}", *cure.words.split(), *RUNS]
        place = folder / f"{model}_{optimizer}" / name.replace(" ", "_").replace(",", "")
        sweep(place / "tuning", *_last(words), *_grid(profile, cure, optimizer))
        rate, knob = best(read_runs(place / "tuning").arms, cure.knob)
        own = [f"{cure.knob}={knob:g}"] if cure.knob else []
        rates = [rate * factor for factor in profile.factors]
        tried = [values("optimizer.lr", [float(f"{each:.6g}") for each in rates])]
        for first, end in pairwise((0, *SEEDS)):
            if first < profile.seeds:
                several = seeds(min(end, profile.seeds) - first, first)
                sweep(place / "runs" / f"{first:03}", *_last(words), *own, *tried, several)
        arms = sorted(
            read_runs(place / "runs").arms, key=lambda arm: abs(math.log(arm.rate / rate))
        )
        found[name] = arms
    return found


def _last(words: Sequence[str]) -> list[str]:
    """Return the words, without those whose key a later word sets again."""
    return [*{word.partition("=")[0]: word for word in words}.values()]


def _grid(profile: Profile, cure: Cure, optimizer: str) -> list[str]:
    """Return the overrides of the settings that are tried: as many for each cure."""
    low, high = (rate * cure.rates for rate in OPTIMIZERS[optimizer])
    count = profile.budget // (len(cure.tried) or 1)
    knob = [values(cure.knob, cure.tried)] if cure.knob else []
    rates = f"optimizer.lr=logspace({low:g},{high:g},{count})"
    return [rates, *knob, seeds(profile.tuning_seeds, TUNING_SEED)]


def best(arms: Sequence[Arm], knob: str) -> tuple[float, float]:
    """Return the rate and the knob with which most runs solve; among equals, of least loss."""

    def badness(arm: Arm) -> tuple[float, float]:
        found = measure(arm)
        return -found.solved.value, found.test_loss.value

    arm = min(arms, key=badness)
    own: Any = reduce(getattr, knob.split("."), arm.config) if knob else math.nan
    return arm.rate, float(own)


def compared(found: Mapping[str, list[Arm]], model: str, optimizer: str) -> list[dict[str, Any]]:
    """Return a row for each cure: its measures, and the differences from none.

    P-values are corrected for all cures and measures of a model with an optimizer.
    """
    plain = found["none"]
    others = {name: arms for name, arms in found.items() if name != "none"}
    pairs = [
        (name, each)
        for name, arms in others.items()
        for measured in COMPARED
        for each in paired(measured, [_sides(measured, arms, plain)])
    ]
    contrasted: dict[tuple[str, str], Contrast] = {
        (name, each.name): contrast
        for (name, each), contrast in zip(pairs, contrasts([p for _, p in pairs]), strict=True)
    }
    rows = []
    for name, arms in found.items():
        row: dict[str, Any] = {"model": model, "optimizer": optimizer, "cure": name}
        row |= {"lr": arms[0].rate, "edge": edge_of(name, optimizer, arms[0].rate)}
        row |= {"slowdown": slowdown(arms[0].config, plain[0].config)}
        for measured in COMPARED:
            own, _ = _sides(measured, arms, arms)
            row[measured] = float(
                np.mean([*MEASURES[measured].by_seed(own).values()] or [math.nan])
            )
            if contrast := contrasted.get((name, measured)):
                d = contrast.difference
                row |= {f"{measured}_less_none": d.value, f"{measured}_low": d.low,
                        f"{measured}_high": d.high, f"{measured}_p": d.pvalue,
                        f"{measured}_verdict": contrast.verdict}  # fmt: skip
        rows.append(row)
    return rows


def edge_of(name: str, optimizer: str, rate: float) -> str:
    """Return which end of the range that was searched a rate is, if it is one."""
    low, high = (end * CURES[name].rates for end in OPTIMIZERS[optimizer])
    return "lower" * math.isclose(rate, low, rel_tol=1e-3) + "upper" * math.isclose(
        rate, high, rel_tol=1e-3
    )


def _sides(measured: str, a: Sequence[Arm], b: Sequence[Arm]) -> tuple[list[Arm], list[Arm]]:
    """Return what is compared: the arms at the best rates, for the sensitivity those at all."""
    return ([*a], [*b]) if measured == "lr_sensitivity" else ([a[0]], [b[0]])


def write(rows: list[dict[str, Any]], docs: Path) -> None:
    """Write all numbers, the table and the figure."""
    docs.mkdir(parents=True, exist_ok=True)
    polars.DataFrame(rows, infer_schema_length=None).write_csv(docs / "head_to_head.csv")
    (docs / "head_to_head.md").write_text(markdown(rows), encoding="utf-8")
    with figure_style():
        disk.write(docs / "head_to_head.png", encoded(_figure(rows), "png", dpi=110))
    print(*(docs / f"head_to_head.{kind}" for kind in ("csv", "md", "png")))


def _figure(rows: list[dict[str, Any]]) -> Any:
    """Draw the difference from none of each cure and setting, a dot where it is decided."""
    settings = list(dict.fromkeys((row["model"], row["optimizer"]) for row in rows))
    names = [name for name in CURES if name != "none" and any(r["cure"] == name for r in rows)]
    figure, panels = panels_of(1.9 * len(COMPARED) + 2, 0.24 * len(names) + 1.8, 1, len(COMPARED))
    for axes, measured in zip(panels[0], COMPARED, strict=True):
        field = np.full((len(names), len(settings)), math.nan)
        for row in rows:
            if row["cure"] in names and f"{measured}_less_none" in row:
                at = names.index(row["cure"]), settings.index((row["model"], row["optimizer"]))
                field[at] = row[f"{measured}_less_none"]
                if decided(row[f"{measured}_verdict"]):
                    axes.plot(*at[::-1], "o", color="black", markersize=3, markeredgecolor="white")
        most = float(np.nanquantile(np.abs(field), FULL_COLOR)) or 1.0
        colors = "RdBu" if measured == "solved" else "RdBu_r"  # blue is what one wishes for
        shown = axes.imshow(field, cmap=colors, vmin=-most, vmax=most, aspect="auto")
        axes.set_facecolor("0.85")  # the cell or the optimizer does not take the cure
        bar = figure.colorbar(shown, ax=axes, location="bottom", shrink=0.9, extend="both")
        bar.ax.tick_params(labelsize=6)
        axes.set_title(MEASURES[measured].words.split(", ")[0], fontsize=7)
        axes.set_xticks(range(len(settings)), [" ".join(s) for s in settings], rotation=90)
        axes.set_yticks(range(len(names)), names if axes is panels[0][0] else [])
        axes.tick_params(labelsize=6)
    return figure


if __name__ == "__main__":
    sys.exit(main())
