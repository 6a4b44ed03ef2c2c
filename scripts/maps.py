"""Make the maps of docs/study/maps: where small networks can be trained, and what each cure adds.

One picture shows all maps, and one table their measures.

    python scripts/maps.py [--size N] [--out DIR] [--docs DIR] [map ...]

Each pixel is a training run. After an interruption, the same command resumes.
"""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars

from hw2exp.diagnostics.statistics import Estimate
from hw2exp.records.figure_style import encoded, figure_style
from hw2exp.records.map_axes import axes_of
from hw2exp.records.runs import read_runs
from hw2exp.report.build import make_report
from hw2exp.report.map_colors import outcome_picture
from hw2exp.report.map_measures import map_rows, measure_maps
from hw2exp.report.run_map import RunMap, run_maps
from hw2exp.report.style import panels_of
from hw2exp.report.tables import number, signed, within
from hw2exp.system import disk
from study.sweeps import sweep

Range = tuple[float, float]

MAPS: dict[str, tuple[str, Range, Range]] = {
    "attn_rnn_sgd": ("experiment=map_sgd model=attn_rnn", (1e-2, 30), (0.1, 10)),
    "gated_rnn_sgd": ("experiment=map_sgd model=gated_rnn", (3e-2, 30), (0.1, 100)),
    "rnn_sgd": ("experiment=map_sgd model=rnn", (1e-2, 30), (0.1, 30)),
    "rnn_relu_sgd": (
        "experiment=map_sgd model=rnn model.nonlinearity=relu", (1e-2, 1e3), (0.1, 100),
    ),
    "lstm_sgd": ("experiment=map_sgd model=lstm", (3e-2, 100), (0.1, 100)),
    "attn_rnn_rmsprop": ("experiment=map_rmsprop model=attn_rnn", (1e-3, 1e3), (0.1, 100)),
    "gated_rnn_rmsprop": ("experiment=map_rmsprop model=gated_rnn", (1e-3, 10), (0.1, 100)),
    "rnn_rmsprop": ("experiment=map_rmsprop model=rnn", (1e-4, 10), (0.1, 30)),
    "rnn_relu_rmsprop": (
        "experiment=map_rmsprop model=rnn model.nonlinearity=relu", (1e-3, 100), (0.1, 100),
    ),
    "lstm_rmsprop": ("experiment=map_rmsprop model=lstm", (1e-3, 10), (0.1, 100)),
}  # fmt: skip
"""The settings of each map, and the ranges of its learning rates and of ``init.scale``.

Without a cure, the border of divergence lies within the ranges, except in some rows of
``attn_rnn_rmsprop``. Elman RNNs of tanh and LSTMs have none, and the gated RNN has none under
RMSprop: up to a learning rate of 100,000 no run turned non-finite, since their states are bounded.
Their ranges hold the rates at which they learn.
"""

CURES = {
    "none": "",
    "clip": "clip=norm",
    "batch": "norm=batch norm.population_sequences=256",
    "layer": "norm=layer",
    "warmup": "schedule=warmup_cosine schedule.warmup_steps=50 schedule.min_factor=1",
}
"""What each cure adds to the settings of a map; warm-up is not followed by a cosine."""

SIDE, DENSITY = 2.0, 0.8
"""Inches a side of a map with its labels, and pixels per inch for each run a side.

So a map has more pixels than runs a side, and none is left out.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("maps", nargs="*", metavar="map", help=f"{', '.join(MAPS)}; all")
    parser.add_argument("--size", type=int, default=256, metavar="N", help="runs a side: 256")
    parser.add_argument("--out", type=Path, metavar="DIR", help="by default outputs/maps/SIZE")
    parser.add_argument(
        "--docs", type=Path, default=Path("docs/study/maps"), metavar="DIR",
        help="where table and pictures go, by default docs/study/maps",
    )  # fmt: skip
    arguments = parser.parse_args()
    if unknown := set(arguments.maps) - set(MAPS):
        parser.error(f"no map {', '.join(sorted(unknown))}; there are {', '.join(MAPS)}")
    out = arguments.out or Path("outputs", "maps", str(arguments.size))
    try:
        make([each for each in MAPS if each in (arguments.maps or MAPS)], arguments.size, out)
        collect(out, arguments.docs)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 0


def make(maps: Sequence[str], size: int, out: Path) -> None:
    """Run the sweeps of maps that are not there yet, and make a report of each map's cures.

    Args:
        maps: names of maps.
        size: the number of runs a side.
        out: the folder of the sweeps.
    """
    for place, name in enumerate(maps, 1):
        print(f"\n==== {name}: map {place} of {len(maps)}", flush=True)
        settings, rates, scales = MAPS[name]
        spaces = {"optimizer.lr": rates, "init.scale": scales}
        swept = [f"{key}=logspace({a:g},{b:g},{size})" for key, (a, b) in spaces.items()]
        for cure, words in CURES.items():
            own = [*settings.split(), *words.split(), *swept, "records=packed"]
            sweep(out / name / cure, *own)
        make_report(out / name, out / name / "report", print)


def collect(out: Path, docs: Path) -> None:
    """Write the table and the picture of all maps that are there.

    Args:
        out: the folder of the sweeps.
        docs: the folder to write into.
    """
    docs.mkdir(parents=True, exist_ok=True)
    rows = []
    drawn: dict[str, dict[str, RunMap]] = {}
    for name in (each for each in MAPS if (out / each / "report").is_dir()):
        found = read_runs(out / name)
        axes = axes_of(found.swept)
        assert axes is not None, f"{out / name}: makes no map"
        maps = run_maps(found.outcomes, *axes)
        measured = {cure_of(each.map): each for each in measure_maps(maps)}
        drawn[name] = {cure: measured[cure].map for cure in CURES}
        for cure in CURES:
            own = measured[cure]
            gained = own.solved.value - measured["none"].solved.value
            (row,) = map_rows([own])
            rows.append(row | {"map": name, "cure": cure, "gained": gained})
    polars.DataFrame(rows, infer_schema_length=None).write_csv(docs / "maps.csv")
    (docs / "maps.md").write_text(markdown(rows), encoding="utf-8")
    with figure_style():
        most = max(max(own.loss.shape[1:]) for maps in drawn.values() for own in maps.values())
        disk.write(docs / "maps.png", encoded(sheet(drawn), "png", dpi=max(100, DENSITY * most)))
    print(", ".join(str(docs / f"maps.{kind}") for kind in ("csv", "md", "png")))


def sheet(drawn: Mapping[str, Mapping[str, RunMap]]) -> Any:
    """Draw the outcomes of all maps, a row for each map and a column for each cure."""
    figure, panels = panels_of(SIDE * len(CURES), SIDE * len(drawn), len(drawn), len(CURES))
    for row, (name, maps) in zip(panels, drawn.items(), strict=True):
        _, rates, scales = MAPS[name]
        for axes, (cure, own) in zip(row, maps.items(), strict=True):
            axes.imshow(outcome_picture(own).pixels, origin="lower", interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.set_title(cure, fontsize=8)
            axes.set_xlabel(f"rate {rates[0]:g} … {rates[1]:g}", fontsize=6)
        row[0].set_ylabel(f"{name}\nscale {scales[0]:g} … {scales[1]:g}", fontsize=7)
    return figure


def cure_of(own: RunMap) -> str:
    """Return the name of a map's cure."""
    chosen = {f"{group}={choice}" for group, choice in own.settings.items()}
    return next((cure for cure, words in CURES.items() if chosen & {*words.split()}), "none")


HEADINGS = (
    "map", "runs", "cure", "area solved", "points gained", "area diverged", "border moved",
    "border's dimension", "if scattered",
)  # fmt: skip


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Write the table of all maps."""
    lines = [HEADINGS, ["---"] * len(HEADINGS), *map(_cells, rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _cells(row: dict[str, Any]) -> list[str]:
    bound = (row["border_moved_is"] or "").removesuffix("factor")
    moved = "–" if math.isnan(row["border_moved"]) else f"{bound}× {number(row['border_moved'])}"
    rough = Estimate(row["dimension"], row["dimension_low"], row["dimension_high"])
    scattered = row["dimension_scattered"]
    return [
        row["map"],
        f"{row['runs']:,}",
        row["cure"],
        f"{100 * row['solved']:.1f} %",
        "" if row["cure"] == "none" else signed(100 * row["gained"]),
        f"{100 * row['diverged']:.1f} %",
        moved,
        (row["no_dimension"] or "").partition(":")[0]
        or within(rough, lambda value: f"{value:.2f}"),
        "" if math.isnan(scattered) else f"{scattered:.2f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
