"""Arrange the runs of a sweep over two numbers as maps: a cell for each pair of values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hw2exp.compare.measures import PER
from hw2exp.config.settings import Value
from hw2exp.diagnostics.statistics import Floats, quartiles
from hw2exp.records.arm_names import ALL, words
from hw2exp.records.arms import NO_CURE
from hw2exp.records.map_axes import MapAxis, settings_keys
from hw2exp.records.outcomes import SEED

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class RunMap:
    """The runs of one combination of the settings other than the map's two numbers.

    All arrays are ``(S, h, w)``, with a layer for each seed, a row for each value of ``y``, and a
    column for each value of ``x``; NaN where there is no run.

    Args:
        settings: the combination: the swept settings by key.
        x: the horizontal axis.
        y: the vertical axis.
        seeds: the seeds, ``(S,)``.
        diverged: 1 for runs that turned non-finite, else 0.
        solved: 1 for runs that have solved their task and not diverged, else 0.
        ends_solved: 1 for runs that end solved and have not diverged, else 0.
        loss: the mean training loss of the last steps, infinite if diverged.
        spikes: spikes per 1,000 steps.
        diverged_at: the step of divergence; NaN if there was none.
    """

    settings: Mapping[str, Value]
    x: MapAxis
    y: MapAxis
    seeds: NDArray[np.int64]
    diverged: Floats
    solved: Floats
    ends_solved: Floats
    loss: Floats
    spikes: Floats
    diverged_at: Floats

    @property
    def name(self) -> str:
        """Return the combination as typed."""
        return words(self.settings, self.settings) or ALL

    @property
    def cured(self) -> bool:
        """Return whether the combination has a cure."""
        return any(self.settings.get(group, none) != none for group, none in NO_CURE.items())

    @property
    def uncured(self) -> Mapping[str, Value]:
        """Return the settings in which the map without cures must agree."""
        return {
            key: value
            for key, value in self.settings.items()
            if key.partition(".")[0] not in NO_CURE
        }

    @property
    def there(self) -> NDArray[np.bool_]:
        """Return whether each cell has a run, ``(h, w)``."""
        return np.asarray(~np.isnan(self.diverged).all(0))

    @cached_property
    def mostly_diverged(self) -> NDArray[np.bool_]:
        """Return whether at least half of a cell's runs diverged, ``(h, w)``."""
        return np.asarray(median_of_seeds(self.diverged) >= 0.5)

    @cached_property
    def mostly_solved(self) -> NDArray[np.bool_]:
        """Return whether more than half of a cell's runs solved their task, ``(h, w)``."""
        return np.asarray(median_of_seeds(self.solved) > 0.5)


def median_of_seeds(values: Floats) -> Floats:
    """Return the median over seeds, ``(h, w)``, of values ``(S, h, w)``."""
    return np.asarray(values[0] if len(values) == 1 else quartiles(values, axis=0)[1])


def run_maps(frame: "polars.DataFrame", x: MapAxis, y: MapAxis) -> list[RunMap]:
    """Return a map for each combination of the other settings; those without cures come first.

    Args:
        frame: the runs, see :func:`hw2exp.records.outcomes.outcomes`; interrupted ones don't count.
        x: the horizontal axis.
        y: the vertical axis.
    """
    import polars

    diverged = polars.col("diverged_at").is_not_null()
    grids = {
        "diverged": diverged,
        "solved": polars.col("solved_at").is_not_null() & ~diverged,
        "ends_solved": polars.col("ends_solved") & ~diverged,
        "loss": polars.when(diverged).then(np.inf).otherwise(polars.col("last_loss")),
        "spikes": PER * polars.col("spikes") / polars.col("step"),
        "diverged_at": polars.col("diverged_at"),
    }
    others = [key for key in settings_keys(frame) if key not in (x.key, y.key)]
    kept = [polars.col(key) for key in [*others, SEED]]
    places = [polars.col(axis.key).cast(polars.Float64) for axis in (x, y)]
    values = [each.cast(polars.Float64).alias(name) for name, each in grids.items()]
    ended = frame.filter(polars.col("status") != "interrupted")
    table = ended.select(*kept, *places, *values)
    parts = table.partition_by(others, maintain_order=True, as_dict=True) if others else {(): table}
    maps = []
    for combination, part in parts.items():
        settings = zip(others, combination, strict=True)
        seeds = part[SEED].unique().sort().to_numpy()
        at = (
            np.searchsorted(seeds, part[SEED].to_numpy()),
            *(np.searchsorted(each.values, part[each.key].to_numpy()) for each in (y, x)),
        )
        layers = np.full((len(grids), len(seeds), len(y.values), len(x.values)), np.nan)
        for layer, name in zip(layers, grids, strict=True):
            layer[at] = part[name].to_numpy()
        known = {key: value for key, value in settings if value is not None}
        maps.append(RunMap(known, x, y, seeds, *layers))
    return sorted(maps, key=lambda each: each.cured)


def without_cures(own: RunMap, maps: Sequence[RunMap]) -> RunMap | None:
    """Return the map that differs from a cure's only in having none; None if there is none."""
    fitting = (each for each in maps if not each.cured and each.uncured == own.uncured)
    return next(fitting, None) if own.cured else None
