"""Tell apart the windows of maps: sweeps of one border on smaller and smaller ranges."""

from collections.abc import Mapping
from math import prod

from hw2exp.records.found import Found, FoundPacked
from hw2exp.records.map_axes import MapAxis, axes_of
from hw2exp.records.outcomes import PackedRows, packed_swept


def by_window(found: Found) -> Mapping[str, Found]:
    """Return the runs of each window by its name, the largest window first.

    Sweeps over the same values of a map's two numbers make one window, where their maps can be
    compared. Runs that are not all from maps with packed records are one window.

    Args:
        found: the runs.
    """
    sweeps = found.sweeps if isinstance(found, FoundPacked) else []
    windows: dict[tuple[object, ...], tuple[tuple[MapAxis, MapAxis], list[PackedRows]]] = {}
    for each in sweeps:
        axes = axes_of(packed_swept([each]))
        if axes is None:
            return {"": found}
        values = tuple((axis.key, *axis.values) for axis in axes)
        windows.setdefault(values, (axes, []))[1].append(each)
    if len(windows) < 2:
        return {"": found}
    made: dict[str, Found] = {}
    for axes, own in sorted(windows.values(), key=lambda each: -prod(map(_extent, each[0]))):
        name = f"Window {len(made) + 1}: {', '.join(map(_name, axes))}"
        lines = ((), ()) if made else (found.left_out, found.lost)
        made[name] = FoundPacked(*lines, own)
    return made


def _extent(axis: MapAxis) -> float:
    """Return the extent of an axis: in octaves if it is geometric."""
    return 0.0 if axis.spacing == "uneven" else axis.step * (len(axis.values) - 1)


def _name(axis: MapAxis) -> str:
    first, last = axis.values[[0, -1]]
    return f"{axis.key} {first:g} to {last:g}"
