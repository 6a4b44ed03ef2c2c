"""Measure maps of runs: which part of the area trains, and where and how rough the border is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw2exp.diagnostics.box_counting import Roughness, roughness
from hw2exp.diagnostics.statistics import UNKNOWN, Estimate, Floats, mean, quartiles
from hw2exp.report.run_map import RunMap, without_cures
from hw2exp.report.tables import cell, columns, number, percent, plain, signed


@dataclass(frozen=True)
class Moved:
    """How far a cure moves the border of divergence.

    In each row of a map, the width that does not diverge is the number of such cells times the step
    of the horizontal axis. It is where the border would be if it were one clean line, so islands on
    both sides count by their size. The move is the width with the cure minus the width without, in
    the median over rows. Rows in which both maps diverge everywhere, or nowhere, are left out, and
    so are cells that one of the maps lacks.

    Args:
        by: the move, as a factor if the axis is geometric, else as a difference; the interval is
            over seeds.
        bound: ``≥`` or ``≤`` if the median may be larger or smaller, because borders lie beyond the
            map; ``≈`` if either; else empty.
        factor: whether the move is a factor.
    """

    by: Estimate
    bound: str
    factor: bool


@dataclass(frozen=True)
class MapMeasures:
    """The measures of a map.

    Args:
        map: the map.
        reference: the map without cures, if this one has a cure.
        solved: the share of the area that solved its task and did not diverge.
        ends_solved: the share of the area that ends solved and did not diverge.
        diverged: the share of the area that turned non-finite.
        moved: how far the border moved against the reference; None without one.
        rough: the roughness of the border of divergence.
        scattered: the dimension after the outcomes of each column were shuffled: what scattered
            runs would give, if divergence depended on the horizontal axis only.
    """

    map: RunMap
    reference: RunMap | None
    solved: Estimate
    ends_solved: Estimate
    diverged: Estimate
    moved: Moved | None
    rough: Roughness
    scattered: float

    @property
    def runs(self) -> int:
        """Return the number of runs."""
        return int((~np.isnan(self.map.diverged)).sum())

    @property
    def missing(self) -> int:
        """Return the number of cells without a run, over all seeds."""
        return self.map.diverged.size - self.runs


def measure_maps(maps: Sequence[RunMap]) -> list[MapMeasures]:
    """Measure maps, and cures against no cure."""
    return [_measure(each, without_cures(each, maps)) for each in maps]


def _measure(own: RunMap, reference: RunMap | None) -> MapMeasures:
    shuffled = np.random.default_rng(0).permuted(own.diverged, axis=1)
    return MapMeasures(
        own,
        reference,
        solved=_area(own.solved),
        ends_solved=_area(own.ends_solved),
        diverged=_area(own.diverged),
        moved=None if reference is None else moved(own, reference),
        rough=roughness(own.diverged),
        scattered=roughness(shuffled).dimension.value,
    )


def _area(cells: Floats) -> Estimate:
    """Return the mean share of the known cells, with its interval over seeds if there are some."""
    return mean(np.nansum(cells, (1, 2)) / (~np.isnan(cells)).sum((1, 2)))


def moved(cured: RunMap, plain: RunMap) -> Moved:
    """Return how far a cure moves the border, on the seeds and cells that both maps have."""
    factor = cured.x.spacing == "geometric"
    _, *common = np.intersect1d(cured.seeds, plain.seeds, return_indices=True)
    with_cure, without = (
        each.diverged[of] for each, of in zip((cured, plain), common, strict=True)
    )  # (S, h, w) each
    known = ~np.isnan(with_cure + without)
    cells = known.sum(-1)
    wide, less = (((each == 0) & known).sum(-1) for each in (with_cure, without))  # (S, h)
    bordered = ~((wide == less) & ((wide == 0) | (wide == cells)))
    if math.isnan(cured.x.step) or not bordered.any():
        return Moved(UNKNOWN, "", factor)
    by = np.where(bordered, (wide - less) * cured.x.step, np.nan)
    over = bordered & (_open(with_cure, known) | (less == 0))
    under = bordered & (_open(without, known) | (wide == 0))
    found = mean([each for each in quartiles(by)[1] if not math.isnan(each)])
    if factor:
        found = Estimate(2**found.value, 2**found.low, 2**found.high)
    return Moved(found, _bound(by, over, under), factor)


def _open(diverged: Floats, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether each row does not diverge at its right end, so that its border lies beyond."""
    end = max(1, diverged.shape[-1] // 16)
    lost = ((diverged == 1) & known)[..., -end:].sum(-1)
    return np.asarray(lost <= known[..., -end:].sum(-1) / 2)


def _bound(by: Floats, over: NDArray[np.bool_], under: NDArray[np.bool_]) -> str:
    """Return the sign of a median whose rows ``over`` may be larger, and ``under`` smaller."""
    value, high, low = (
        quartiles(each.ravel())[1]
        for each in (by, np.where(over, np.inf, by), np.where(under, -np.inf, by))
    )
    return {(0, 0): "", (1, 0): "≥ ", (0, 1): "≤ ", (1, 1): "≈ "}[high > value, low < value]


def map_rows(measured: Sequence[MapMeasures]) -> list[dict[str, Any]]:
    """Make a row for each map: each measure with the ends of its interval."""
    return [
        {"map": each.map.name, "runs": each.runs, "seeds": len(each.map.seeds)}
        | columns("solved", each.solved)
        | columns("ends_solved", each.ends_solved)
        | columns("diverged", each.diverged)
        | columns("border_moved", each.moved.by if each.moved else UNKNOWN)
        | {
            "border_moved_is": each.moved.bound + ("factor" if each.moved.factor else "difference")
            if each.moved
            else None
        }
        | columns("dimension", each.rough.dimension)
        | {"dimension_scattered": each.scattered, "no_dimension": each.rough.reason or None}
        for each in measured
    ]


MAP_HEADINGS = (
    "runs", "seeds", "area solved", "area that ends solved", "area diverged",
    "border moved", "border's dimension", "its dimension if scattered",
)  # fmt: skip


def map_cells(each: MapMeasures) -> list[dict[str, Any]]:
    """Return a map's cells on the page, in the order of ``MAP_HEADINGS``."""
    areas = [cell(share, percent) for share in (each.solved, each.ends_solved, each.diverged)]
    rough = cell(each.rough.dimension, _digits)
    if each.rough.reason:
        rough |= {"interval": each.rough.reason}
    counts = plain(each.runs), plain(len(each.map.seeds))
    scattered = plain(each.scattered, _digits(each.scattered))
    return [*counts, *areas, _moved_cell(each.moved), rough, scattered]


def _digits(dimension: float) -> str:
    return "–" if math.isnan(dimension) else f"{dimension:.2f}"


def _moved_cell(found: Moved | None) -> dict[str, Any]:
    if found is None:
        return plain(math.nan, "–")
    made = cell(found.by, lambda value: f"× {number(value)}" if found.factor else signed(value))
    return made | {"text": found.bound + made["text"]}
