"""Tell apart the windows of maps: sweeps of one border on smaller and smaller ranges."""

from collections.abc import Mapping
from dataclasses import replace
from math import prod

from hw2exp.records.found import Found, FoundPacked
from hw2exp.records.map_axes import MapAxis, axes_of
from hw2exp.records.outcomes import PackedRows, planned
from hw2exp.records.runs import REPEATED, repeated_line

Axes = tuple[MapAxis, MapAxis]


def by_window(found: Found) -> Mapping[str, Found]:
    """Return the runs of each window by its name, the largest window first.

    Sweeps over the same values of a map's two numbers make one window, where their maps can be
    compared, whether all of their runs have ended or not. Sweeps that make no map come last,
    together. Runs that are not all from packed records are one window.

    Args:
        found: the runs.
    """
    windows: dict[tuple[object, ...], tuple[Axes | None, list[PackedRows]]] = {}
    for each in found.sweeps if isinstance(found, FoundPacked) else []:
        axes = axes_of(planned(each[0]))
        values = tuple((axis.key, *axis.values) for axis in axes or ())
        windows.setdefault(values, (axes, []))[1].append(each)
    if len(windows) < 2:
        return {"": found}
    made: dict[str, Found] = {}
    for axes, own in sorted(windows.values(), key=lambda each: -_extent(each[0])):
        name = f"Window {len(made) + 1}: {', '.join(map(_name, axes))}" if axes else "Other runs"
        alone = FoundPacked((), (), own)
        others = [line for line in found.left_out if REPEATED not in line] if not made else []
        lost = () if made else found.lost
        made[name] = replace(alone, left_out=(*others, *repeated_line(alone.repeated)), lost=lost)
    return made


def _extent(axes: Axes | None) -> float:
    """Return the extent of a window: in octaves if its axes are geometric."""
    if axes is None:
        return -1.0
    even = all(axis.spacing != "uneven" for axis in axes)
    return prod(axis.step * (len(axis.values) - 1) for axis in axes) if even else 0.0


def _name(axis: MapAxis) -> str:
    first, last = axis.values[[0, -1]]
    return f"{axis.key} {first:g} to {last:g}"
