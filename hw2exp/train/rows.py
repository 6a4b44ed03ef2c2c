"""Make one frame of many runs: a row for each run, with its config's keys and its result."""

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

from hw2exp.config.settings import Plain, flat
from hw2exp.records.packed_rows import JOB
from hw2exp.records.result_row import ROW, row_of
from hw2exp.records.run_dir import RunResult
from hw2exp.system.problems import show

if TYPE_CHECKING:
    import polars

    from hw2exp.records.packed import PackedSweep

Flat = Mapping[str, Plain]
"""A config by dotted key, without operational keys."""


def varying(configs: Sequence[Flat]) -> list[str]:
    """Return the keys whose values differ between configs, in the configs' order."""
    return [key for key in _keys(configs) if len({repr(own.get(key)) for own in configs}) > 1]


def frame_of(
    label: str,
    names: Sequence[int] | Sequence[str],
    configs: Sequence[Flat],
    results: Sequence[RunResult],
    keys: Iterable[str] | None = None,
) -> "polars.DataFrame":
    """Return a frame with a row for each run.

    Args:
        label: the name of the first column.
        names: the number or the name of each run.
        configs: the config of each run.
        results: the result of each run.
        keys: the keys of the configs that become columns; None: all.
    """
    import polars

    first = polars.Series(label, names, dtype=None if names else polars.String)
    shown = _keys(configs) if keys is None else keys
    own = [_column(key, [each.get(key) for each in configs]) for key in shown]
    types = {str: polars.String, int: polars.Int64, float: polars.Float64, bool: polars.Boolean}
    schema = {name: types[kind] for name, kind in ROW.items()}
    rows = polars.DataFrame([row_of(result) for result in results], schema)
    return polars.DataFrame([first, *own, *rows])


def packed_frame(sweep: "PackedSweep") -> "polars.DataFrame":
    """Return a frame of packed records: for each run the keys that vary, then the result.

    Args:
        sweep: the packed records.
    """
    programs = [flat(config) for config in sweep.configs]
    data = {axis.key for axis in sweep.axes.swept if axis.values is not None}
    shown = data.union(varying(programs))
    keys = dict.fromkeys(key for own in programs for key in own if key in shown)
    numbers, results = zip(*sorted(sweep.results(), key=itemgetter(0)), strict=True)
    configs = [{**programs[sweep.axes.program(n)], **sweep.axes.data(n)} for n in numbers]
    return frame_of(JOB, numbers, configs, results, keys)


def _keys(configs: Sequence[Flat]) -> list[str]:
    return list(dict.fromkeys(key for own in configs for key in own))


def _column(key: str, values: Sequence[Plain | None]) -> "polars.Series":
    """Return a column; values of several types are written as typed, int and float as float."""
    import polars

    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return polars.Series(key, values, dtype=polars.Float64, strict=False)
    if len(kinds) > 1:
        values = [None if value is None else show(value) for value in values]
    return polars.Series(key, values)
