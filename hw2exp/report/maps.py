"""Make the maps of a chapter: where training is possible, and how a cure moves that border."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from hw2exp.records.encoding import png
from hw2exp.records.found import Found
from hw2exp.records.map_axes import MapAxis, axes_of
from hw2exp.report.map_colors import (
    Picture,
    divergence_picture,
    divergence_scale,
    outcome_picture,
    spikes_picture,
    spikes_scale,
)
from hw2exp.report.map_figure import map_figure
from hw2exp.report.map_measures import MapMeasures, map_rows, measure_maps
from hw2exp.report.run_map import RunMap, run_maps
from hw2exp.report.style import Drawn
from hw2exp.report.tables import percent, write_table
from hw2exp.system import disk
from hw2exp.system.problems import counted

MOST_MAPS = 24
"""Most combinations that are drawn; the table has all."""


@dataclass(frozen=True)
class MapKind:
    """Maps of one quantity.

    Args:
        title: the heading.
        reading: how to read their colors.
        figures: a figure for each combination of settings.
    """

    title: str
    reading: str
    figures: Sequence[Drawn]


@dataclass(frozen=True)
class Maps:
    """The maps of a chapter's runs; empty if these make none.

    Args:
        measured: the measures of all maps.
        reading: how to read their axes.
        kinds: the figures, by quantity.
        notes: lines about figures left out.
    """

    measured: Sequence[MapMeasures] = ()
    reading: str = ""
    kinds: Sequence[MapKind] = ()
    notes: Sequence[str] = ()

    @property
    def summary(self) -> list[str]:
        """Return a line for each drawn map."""
        drawn = self.measured[:MOST_MAPS]
        return [f"{each.map.name}: {_numbers(each)}{_dimension(each)}" for each in drawn]

    @property
    def reading_of_table(self) -> str:
        """Return how to read the table."""
        single = all(len(each.map.seeds) == 1 for each in self.measured)
        return TABLE.format(NO_SEEDS if single else SEEDS)


def make_maps(found: Found, target: Path) -> Maps:
    """Measure and draw the maps of a folder's runs, if these make some.

    Args:
        found: the runs.
        target: an existing folder for the files: a table, the figures, and for each map an image
            with one pixel per run.

    Raises:
        OSError: a file can't be written.
    """
    axes = axes_of(found.swept)
    if axes is None:
        return Maps()
    maps = run_maps(found.outcomes, *axes)
    measured = measure_maps(maps)
    write_table(map_rows(measured), target, "maps")
    shown, more = measured[:MOST_MAPS], len(measured) - MOST_MAPS
    for each in shown:
        disk.write(target / f"map_{_file_name(each.map)}.png", pixel_image(each.map))
    kinds = [
        MapKind(title, reading, [_draw(each, colored(each.map), name, target) for each in shown])
        for name, title, reading, colored in _kinds(maps)
    ]
    notes = [f"figures of {counted(more, 'more map')} left out"] * (more > 0)
    seeds = max(len(each.seeds) for each in maps)
    return Maps(measured, _axes_text(*axes, seeds), kinds, notes)


def pixel_image(own: RunMap) -> bytes:
    """Return the image of a map's outcomes as PNG, one pixel per run."""
    pixels = outcome_picture(own).pixels[::-1]  # an image begins at its top
    return png(np.ascontiguousarray(pixels))


def _kinds(maps: Sequence[RunMap]) -> Iterator[tuple[str, str, str, Callable[[RunMap], Picture]]]:
    """Yield each quantity: name, title, how to read its colors, and the function that colors one.

    All maps of a quantity have one scale.
    """
    yield "outcome", "Where training is possible", OUTCOME, outcome_picture
    colored = partial(spikes_picture, scale=spikes_scale(maps))
    yield "spikes", "Where the loss has spikes", SPIKES, colored
    if any(each.mostly_diverged.any() for each in maps):
        colored = partial(divergence_picture, scale=divergence_scale(maps))
        yield "divergence", "When training diverges", DIVERGENCE, colored


def _draw(each: MapMeasures, picture: Picture, kind: str, target: Path) -> Drawn:
    """Write a map's figure as PNG; as SVG it would hold the same pixels."""
    name = f"{kind}_{_file_name(each.map)}"
    content = map_figure(each.map, picture, each.reference)
    disk.write(target / f"{name}.png", content)
    return Drawn(name, each.map.name, _numbers(each), content)


def _file_name(own: RunMap) -> str:
    return re.sub(r"[^\w.-]+", "_", own.name)


def _numbers(each: MapMeasures) -> str:
    """Write what became of a map's runs."""
    shares = f"{percent(each.solved.value)} solved, {percent(each.diverged.value)} diverged"
    missing = f"; {counted(each.missing, 'run')} missing" * (each.missing > 0)
    return f"{counted(each.runs, 'run')}: {shares}{missing}."


def _dimension(each: MapMeasures) -> str:
    found = each.rough.dimension
    if math.isnan(found.value):
        return ""
    return f" The border's dimension is {found.value:.2f} (scattered: {each.scattered:.2f})."


def _axes_text(x: MapAxis, y: MapAxis, seeds: int) -> str:
    """Write how to read the axes; ``seeds`` is the largest number of seeds of a map."""
    shape = "dot" if max(len(x.values), len(y.values)) > 100 else "square"
    cell = "a training run" if seeds == 1 else f"the median of {seeds} seeds"
    to = [f"{axis.meaning.partition(',')[0]} ({axis.key})".strip() for axis in (x, y)]
    spaced = {axis.key: SPACED[axis.spacing] for axis in (x, y)}
    if x.spacing == y.spacing:
        spaced = {"both": SPACED[x.spacing]}
    text = " ".join(f"The values of {which} {how}." for which, how in spaced.items())
    return f"Each {shape} is {cell}: {to[0]} rises to the right, {to[1]} upward. {text}"


SPACED = {
    "geometric": "grow by the same factor from run to run",
    "even": "grow by the same amount from run to run",
    "uneven": "stand in the order of their values, which are not evenly spaced",
}

OUTCOME = (
    "Black: training diverged: its numbers were no longer finite. The other colors are the "
    "training loss of the last steps: white at ln 4, where a run that knows nothing is; blue "
    "below, where it has learned something; red above, where it does worse than a guess. Gold: it"
    " has solved its task, the paler the smaller the loss. On the map of a cure, lines show where"
    " the border of divergence would be if it were one clean line: solid with the cure, dashed "
    "without."
)

SPIKES = (
    "The darker the violet, the more spikes of the loss per 1,000 steps; white: none. Black: "
    "training diverged. The lines are as above."
)

DIVERGENCE = (
    "The color is the step at which training diverged: pale at once, dark late. Pale gray: it did"
    " not diverge. The lines are as above."
)

TABLE = (
    "Area: the share of a map's runs. Solved: has solved its task and not diverged. {} Border "
    "moved: how much wider the cure makes the range of the horizontal axis that does not diverge,"
    " as a factor if the values of the axis grow by a factor. Islands count by their size. It is "
    "the median over the rows in which some runs of the two maps diverge and others do not. ≥ or "
    "≤: borders lie beyond the map, so that the median may be larger or smaller; ≈: either. "
    "Dimension: by counting boxes of 4 runs a side up to an eighth of the map, each twice as "
    "large; 1 for a smooth line, up to 2 for one that fills the plane. The interval tells how "
    "well the scales agree; it needs 256 values a side. If scattered: the dimension after the "
    "runs of each column were shuffled. A border with the same dimension may be no more than "
    "scattered runs."
)
NO_SEEDS = "There is one seed, so shares have no interval."
SEEDS = "Intervals of shares and moves are over seeds; a map shows the median of its seeds."
