"""Measure maps of runs: which part of the area trains, and where and how rough the border is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

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
    the median over rows. Rows in which both maps diverge everywhere, or nowhere, are left out.

    Args:
        by: the move, as a factor if the axis is geometric, else as a difference; the interval is
            over seeds.
        bound: ``≥`` or ``≤`` if the true move may be larger or smaller, because in most rows one of
            the borders lies beyond the map; else empty.
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
    """

    map: RunMap
    reference: RunMap | None
    solved: Estimate
    ends_solved: Estimate
    diverged: Estimate
    moved: Moved | None
    rough: Roughness

    @property
    def runs(self) -> int:
        """Return the number of runs."""
        return int((~np.isnan(self.map.diverged)).sum())


def measure_maps(maps: Sequence[RunMap]) -> list[MapMeasures]:
    """Measure maps, and cures against no cure."""
    return [_measure(each, without_cures(each, maps)) for each in maps]


def _measure(own: RunMap, reference: RunMap | None) -> MapMeasures:
    return MapMeasures(
        own,
        reference,
        solved=_area(own.solved),
        ends_solved=_area(own.ends_solved),
        diverged=_area(own.diverged),
        moved=None if reference is None else moved(own, reference),
        rough=roughness(own.diverged),
    )


def _area(cells: Floats) -> Estimate:
    """Return the mean share of the known cells, with its interval over seeds if there are some."""
    return mean(np.nansum(cells, (1, 2)) / (~np.isnan(cells)).sum((1, 2)))


def moved(cured: RunMap, plain: RunMap) -> Moved:
    """Return how far a cure moves the border, on the seeds that both maps have."""
    factor = cured.x.spacing == "geometric"
    _, *common = np.intersect1d(cured.seeds, plain.seeds, return_indices=True)
    wide, less = (
        _stable(each.diverged[of]) for each, of in zip((cured, plain), common, strict=True)
    )
    said = ~((wide == less) & ((wide == 0) | (wide == 1))) & ~np.isnan(wide - less)
    if math.isnan(cured.x.step) or not said.any():
        return Moved(UNKNOWN, "", factor)
    by = np.where(said, wide - less, np.nan) * len(cured.x.values) * cured.x.step  # (S, h)
    over = said & ((wide == 1) | (less == 0))
    under = said & ((wide == 0) | (less == 1))
    bounds = {"≥ ": over.sum() > said.sum() / 2, "≤ ": under.sum() > said.sum() / 2}
    found = mean([each for each in quartiles(by)[1] if not math.isnan(each)])
    if factor:
        found = Estimate(2**found.value, 2**found.low, 2**found.high)
    return Moved(found, next((sign for sign, holds in bounds.items() if holds), ""), factor)


def _stable(diverged: Floats) -> Floats:
    """Return the share of each row's known cells that did not diverge, ``(S, h)``."""
    with np.errstate(invalid="ignore"):  # rows without runs
        return np.asarray((diverged == 0).sum(-1) / (~np.isnan(diverged)).sum(-1))


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
        | {"no_dimension": each.rough.reason or None}
        for each in measured
    ]


MAP_HEADINGS = (
    "runs", "seeds", "area solved", "area that ends solved", "area diverged",
    "border moved", "border's dimension",
)  # fmt: skip


def map_cells(each: MapMeasures) -> list[dict[str, Any]]:
    """Return a map's cells on the page, in the order of ``MAP_HEADINGS``."""
    areas = [cell(share, percent) for share in (each.solved, each.ends_solved, each.diverged)]
    rough = cell(each.rough.dimension, lambda value: "–" if math.isnan(value) else f"{value:.2f}")
    if each.rough.reason:
        rough |= {"interval": each.rough.reason}
    return [plain(each.runs), plain(len(each.map.seeds)), *areas, _moved_cell(each.moved), rough]


def _moved_cell(found: Moved | None) -> dict[str, Any]:
    if found is None:
        return plain(math.nan, "–")
    made = cell(found.by, lambda value: f"× {number(value)}" if found.factor else signed(value))
    return made | {"text": found.bound + made["text"]}
