"""Make the rows of a comparison: differing config keys and versions, and all results."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from hw2exp.compare.columns import Column, ComparedRun
from hw2exp.compare.measures import count_spikes
from hw2exp.config.settings import Value, rank, settings_of
from hw2exp.diagnostics.statistics import spread
from hw2exp.records.arm_names import Settings
from hw2exp.records.run_dir import RunResult, Status
from hw2exp.system.problems import counted, show

ABSENT = "–"

FEW = 3
"""Most values of a key that a cell lists one by one."""

DIGITS = 8
"""Digits of a digest that are shown."""

YES_NO = "yes", "no"

COUNT, MEASURED = "{:.10g}", "{:.4g}"
"""Formats of numbers; counts are written in full."""

CUT = ("commit",)
"""Versions of which only the first digits are shown, as of digests."""

Number = float | int | None


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Args:
        label: a config key, or the label of a reading.
        cells: the text of each column.
        same: whether all columns agree, bit for bit.
    """

    label: str
    cells: Sequence[str]
    same: bool = False


@dataclass(frozen=True)
class Reading:
    """A number from a run's result.

    Args:
        label: its name in the table.
        of: the function that reads the number from a run.
        worst: the value of a diverged run in a column of several runs.
        of_end: whether it belongs to a run's end; then pruned runs have no value in a column of
            several runs.
    """

    label: str
    of: Callable[[ComparedRun], Number]
    worst: float | None = None
    of_end: bool = False

    def values(self, column: Column) -> list[Number]:
        """Return the reading of each run of a column."""
        return [self.of(each) if column.alone else self._beside(each) for each in column.members]

    def _beside(self, each: ComparedRun) -> Number:
        """Return the reading of a run in a column of several."""
        if self.of_end and each.result.pruned_at is not None:
            return None
        diverged = self.worst is not None and each.result.diverged_at is not None
        return self.worst if diverged else self.of(each)


def _count(key: str) -> Callable[[ComparedRun], Number]:
    return lambda each: count_spikes(each.result, key)


def _after_explosion(each: ComparedRun) -> Number:
    known = each.result.explosions or not each.result.spikes
    return count_spikes(each.result, "after_explosion") if known else None


READINGS = (
    Reading("last step", lambda each: each.result.step),
    Reading("diverged at", lambda each: each.result.diverged_at),
    Reading("pruned at", lambda each: each.result.pruned_at),
    Reading("solved at", lambda each: each.result.solved_at),
    Reading("ends solved", lambda each: each.result.ends_solved, of_end=True),
    Reading("initial loss", lambda each: each.result.initial["loss"]),
    Reading("train loss", lambda each: each.result.final["train_loss"], math.inf, True),
    Reading("test loss", lambda each: each.result.final["test_loss"], math.inf, True),
    Reading("test accuracy", lambda each: each.result.final["test_accuracy"], 0.0, True),
    Reading("spikes", lambda each: len(each.result.spikes)),
    Reading("above initial", _count("above_initial")),
    Reading("after explosion", _after_explosion),
    Reading(
        "largest spike",
        lambda each: max((spike["loss"] for spike in each.result.spikes), default=None),
    ),
    Reading("explosions", lambda each: each.result.explosions.get("steps")),
    Reading("largest |grad|", lambda each: each.grad_norm),
    Reading("largest update", lambda each: each.update_norm),
    Reading("seconds", lambda each: each.result.seconds),
)


def differing(
    columns: Sequence[Column],
    of: Callable[[ComparedRun], Settings],
    write: Callable[[Value], str] = show,
) -> list[Row]:
    """Return a row for each key whose values differ between columns.

    With a single column, return the keys whose values differ between its runs. ``of`` returns a
    run's values by key, and ``write`` writes a value, by default as typed.
    """
    written = [[of(each) for each in column.members] for column in columns]
    keys = dict.fromkeys(key for runs in written for run in runs for key in run)
    groups = list(dict.fromkeys(map(_group, keys)))
    rows = []
    for key in sorted(keys, key=lambda key: groups.index(_group(key))):
        values = [list(dict.fromkeys(run.get(key, ABSENT) for run in runs)) for runs in written]
        if len({frozenset(each) for each in values}) > 1 or (
            len(columns) == 1 and len(values[0]) > 1
        ):
            rows.append(Row(key, [_listed(each, write) for each in values]))
    return rows


def _group(key: str) -> str:
    return key.partition(".")[0]


def config_of(each: ComparedRun) -> Settings:
    """Return a run's config by key, without ``resume``, the folder to resume from."""
    return settings_of(each.run.config, {"resume"})


def versions_of(each: ComparedRun) -> Mapping[str, str]:
    """Return the versions of the software that a run used; digests are cut short."""
    own = each.result.versions.items()
    return {name: made[:DIGITS] if "=" in name or name in CUT else made for name, made in own}


def results(columns: Sequence[Column]) -> Iterator[Row]:
    """Yield the rows of the results; a reading that no run has is left out."""
    if any(column.alone is None for column in columns):
        yield Row("runs", [str(len(column.members)) for column in columns])
    statuses = [[each.result.status for each in column.members] for column in columns]
    yield Row("status", [_statuses(each) for each in statuses], _agree(statuses))
    for reading in READINGS:
        values = [reading.values(column) for column in columns]
        if any(value is not None for each in values for value in each):
            yield Row(reading.label, [_cell(each) for each in values], _agree(values))
    if any(column.alone for column in columns):
        yield _digests("parameters", columns, lambda result: result.parameters_sha256)
        yield _digests("metrics", columns, lambda result: result.metrics_sha256)


def _digests(label: str, columns: Sequence[Column], of: Callable[[RunResult], str]) -> Row:
    digests = [[of(each.result) for each in column.members] for column in columns]
    cells = [each[0][:DIGITS] if len(each) == 1 else ABSENT for each in digests]
    return Row(label, cells, _agree(digests))


def _agree(values: Sequence[Sequence[object]]) -> bool:
    """Return whether all columns have the same values, in any order; ``repr`` keeps every bit."""
    return len(values) > 1 and len({tuple(sorted(map(repr, each))) for each in values}) == 1


def _statuses(statuses: Sequence[Status]) -> str:
    if len(statuses) == 1:
        return statuses[0]
    counts = Counter(statuses)
    return ", ".join(f"{counts[each]} {each}" for each in get_args(Status) if counts[each])


def _cell(values: Sequence[Number]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ABSENT
    if all(isinstance(value, bool) for value in known):
        return YES_NO[not known[0]] if len(values) == 1 else f"{sum(known)} of {len(known)}"
    write = COUNT.format if all(isinstance(value, int) for value in known) else _measured
    text = write(known[0]) if len(values) == 1 else spread(known, write=write)
    return text if len(known) == len(values) else f"{text}, of {len(known)}"


def _measured(value: float) -> str:
    return "not finite" if math.isnan(value) else MEASURED.format(value).replace("inf", "∞")


def _listed(values: Sequence[Value], write: Callable[[Value], str]) -> str:
    """Write a column's values of a key: all, or the number of texts, or the range of numbers."""
    ranked = sorted((value for value in values if value != ABSENT), key=rank)
    if len(values) <= FEW:
        return ", ".join([*map(write, ranked), *[ABSENT] * (ABSENT in values)])
    if any(rank(value)[0] for value in ranked):
        return counted(len(values), "value")
    return f"{write(ranked[0])} … {write(ranked[-1])} ({len(values)})"
