"""Color maps of runs, one pixel per run.

The colors are those of a chart of islands: the sea, where training diverges, is black; land is
white where a run still knows nothing (ln 4), blue where it has learned something, gold where it has
solved its task, and red where it does worse than a guess. Blue against red and gold against black
differ for color-blind readers too, and gold stays visible where a run is a pixel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from hw2exp.diagnostics.heat_map import Pixels
from hw2exp.diagnostics.statistics import Floats
from hw2exp.records.metrics import INITIAL_LOSS
from hw2exp.report.run_map import RunMap, median_of_seeds

SEA, LAND, UNKNOWN = (16, 18, 24), (236, 239, 241), (158, 158, 158)
"""Colors of diverged runs, of other runs in a map of divergence, and of cells without a run."""

LEVELS = 256


@dataclass(frozen=True)
class Scale:
    """Colors of values, which change evenly from tick to tick.

    Args:
        ticks: values in ascending order.
        colors: the colors at evenly spaced places from the first tick to the last, in hex.
        labels: the ticks' labels; by default the values.
    """

    ticks: Sequence[float]
    colors: Sequence[str]
    labels: Sequence[str] = ()

    @property
    def texts(self) -> Sequence[str]:
        """Return the ticks' labels."""
        return self.labels or [f"{tick:,g}" for tick in self.ticks]

    @property
    def bar(self) -> Pixels:
        """Return all colors from low to high, ``(LEVELS, 3)``."""
        known = np.array([[int(each[at : at + 2], 16) for at in (1, 3, 5)] for each in self.colors])
        places = np.linspace(0, len(known) - 1, LEVELS)
        mixed = [np.interp(places, np.arange(len(known)), channel) for channel in known.T]
        return np.stack(mixed, -1).round().astype(np.uint8)

    def places(self, values: ArrayLike) -> Floats:
        """Return the places of values in the bar, from 0 to ``LEVELS`` - 1, in their shape."""
        at = np.linspace(0, LEVELS - 1, len(self.ticks))
        return np.asarray(np.interp(np.asarray(values, float), self.ticks, at))

    def pixels(self, values: Floats) -> Pixels:
        """Return the colors of values ``(…)``, as ``(…, 3)``; the color of NaN means nothing."""
        return np.asarray(self.bar[np.nan_to_num(self.places(values)).round().astype(int)])


LOSS = Scale(
    (0, 0.3, 0.6, 1, INITIAL_LOSS, 3, 10, 30, 100),
    ("#08306b", "#1f6cb0", "#63a8d8", "#b9d9ee", "#fbfaf6",
     "#f7c4ab", "#ea8a6c", "#c2402f", "#7d0d1e"),
    ("0", "0.3", "0.6", "1", "ln 4", "3", "10", "30", "≥ 100"),
)  # fmt: skip
"""The loss of the last steps, unless the task is solved."""

SOLVED = Scale(LOSS.ticks, ("#fff0a0", "#ffd23c", "#f2a900", *["#d98a00"] * 6), LOSS.labels)
"""The loss of runs that have solved the task: gold, brighter at a smaller loss."""

FEW_TO_MANY = "#f7f6f9", "#d5cfe6", "#a99acb", "#7d5fb0", "#5a2d92"
EARLY_TO_LATE = "#fde5b0", "#fba868", "#ea6357", "#b02f74", "#5f1873"


@dataclass(frozen=True)
class Picture:
    """A map in colors.

    Args:
        pixels: one pixel per cell, the lowest row first, ``(h, w, 3)``.
        bars: the scales beside the map, which share their ticks.
        quantity: the quantity that the scales show.
        swatches: further colors, by meaning.
    """

    pixels: Pixels
    bars: Sequence[Scale]
    quantity: str
    swatches: dict[str, tuple[int, int, int]] = field(default_factory=dict)


def outcome_picture(own: RunMap) -> Picture:
    """Color the loss of the last steps, in gold where the task is solved."""
    loss = median_of_seeds(own.loss)
    pixels = np.where(own.mostly_solved[..., None], SOLVED.pixels(loss), LOSS.pixels(loss))
    return _picture(own, pixels, [LOSS, SOLVED], "loss at the end; right: solved", sea=True)


def spikes_scale(maps: Sequence[RunMap]) -> Scale:
    """Return a scale from no spikes to the most spikes of a run that did not diverge."""
    most = max(float(each.spikes[each.diverged == 0].max(initial=0)) for each in maps)
    return Scale([0.0, *thirds(most / 100, most)[-4:]], FEW_TO_MANY)


def spikes_picture(own: RunMap, scale: Scale) -> Picture:
    """Color the spikes per 1,000 steps."""
    pixels = scale.pixels(median_of_seeds(own.spikes))
    return _picture(own, pixels, [scale], "spikes per 1,000 steps", sea=True)


def divergence_scale(maps: Sequence[RunMap]) -> Scale:
    """Return a scale from the first to the last step of divergence."""
    steps = np.concatenate([each.diverged_at[each.diverged == 1] for each in maps])
    return Scale(thirds(float(steps.min()), float(steps.max())), EARLY_TO_LATE)


def divergence_picture(own: RunMap, scale: Scale) -> Picture:
    """Color the step of divergence, in the median of the seeds that diverged."""
    pixels = scale.pixels(median_of_seeds(own.diverged_at))
    pixels[~own.mostly_diverged] = LAND
    return _picture(own, pixels, [scale], "step of divergence", sea=False)


def _picture(
    own: RunMap, pixels: Pixels, bars: Sequence[Scale], quantity: str, sea: bool
) -> Picture:
    """Return a picture, and color the cells that the scales do not show."""
    swatches = {"diverged": SEA} if sea else {"not diverged": LAND}
    if sea:
        pixels[own.mostly_diverged] = SEA
    if not own.there.all():
        pixels[~own.there] = UNKNOWN
        swatches["no run"] = UNKNOWN
    return Picture(pixels, bars, quantity, swatches)


def thirds(low: float, high: float) -> list[float]:
    """Return 1, 3, 10, 30, … from at most ``low`` to at least ``high``: at least two numbers."""
    low, high = max(low, 1e-9), max(high, 1e-9)
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    found = [float(f"{digit}e{power}") for power in powers for digit in (1, 3)]
    first = max(place for place, each in enumerate(found) if each <= low)
    last = min(place for place, each in enumerate(found) if each >= high)
    return found[first : max(last, first + 1) + 1]
