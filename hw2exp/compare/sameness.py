"""Find runs that are equal bit for bit, and the first difference of two that should be."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from hw2exp.compare.columns import Column, ComparedRun
from hw2exp.config.schema import OPERATIONAL
from hw2exp.config.settings import settings_of
from hw2exp.records.metrics import CATALOG
from hw2exp.records.step_table import STEP
from hw2exp.system.problems import counted

SINCE_ROW = {"loss_train_max", "accuracy_train", "grad_norm_raw_max", "update_norm_max"}
"""Metrics that cover all steps since the row before, so that they depend on ``log_every``."""

NAMED = 3
"""Most metrics whose values are written at the first step that differs."""


def same_runs(columns: Sequence[Column]) -> list[str]:
    """Return a line for each set of equal runs, and for each pair of columns that share runs."""
    alone = [(column.mark, column.alone) for column in columns if column.alone is not None]
    lines = []
    equals: dict[str, dict[str, list[str]]] = {}  # marks by digests of parameters and of metrics
    for mark, each in alone:
        metrics = equals.setdefault(each.result.parameters_sha256, {})
        metrics.setdefault(each.result.metrics_sha256, []).append(mark)
    for metrics in equals.values():
        lines += [
            f"{_and(marks)} are the same run, bit for bit"
            for marks in metrics.values()
            if len(marks) > 1
        ]
        if len(metrics) > 1:
            marks = [mark for each in metrics.values() for mark in each]
            lines.append(
                f"{_and(marks)} end with the same parameters, bit for bit; their metrics differ"
            )
    for one, other in combinations(columns, 2):
        common = len(_digests(one) & _digests(other))
        if common and None in (one.alone, other.alone):
            shared = counted(common, "run")
            lines.append(f"{one.mark} and {other.mark} have {shared} in common, bit for bit")
    return lines


def _digests(column: Column) -> set[tuple[str, str]]:
    results = [each.result for each in column.members]
    return {(result.parameters_sha256, result.metrics_sha256) for result in results}


def _and(marks: Sequence[str]) -> str:
    return f"{', '.join(marks[:-1])} and {marks[-1]}"


def parting(columns: Sequence[Column]) -> list[str]:
    """Return lines about how long two runs are the same.

    If their configs are the same, the lines name the first difference, which should not be there.
    If the configs differ, a line says up to which step the training losses agree, if they do. There
    are no lines unless the columns are two runs with different digests.
    """
    if len(columns) != 2:
        return []
    one, other = (column.alone for column in columns)
    if one is None or other is None or _digests(columns[0]) == _digests(columns[1]):
        return []
    marks = " and ".join(column.mark for column in columns)
    if settings_of(one.run.config, OPERATIONAL) != settings_of(other.run.config, OPERATIONAL):
        agreed = _agreed(one, other)
        return [f"{marks} have the same training loss up to step {agreed:,}"] if agreed else []
    return [f"{marks} have the same config, but other digests:", *_first(one, other)]


def _agreed(one: ComparedRun, other: ComparedRun) -> int:
    """Return the last logged step up to which two runs have the same training loss, or 0."""
    losses = [each.run.metrics().select(STEP, "loss_train") for each in (one, other)]
    both = losses[0].join(losses[1], on=STEP, maintain_order="left").drop_nulls()
    steps, mine, theirs = (column.to_numpy() for column in both)
    differing = np.flatnonzero(mine != theirs)
    agreed = steps[: differing[0]] if len(differing) else steps
    return int(agreed[-1]) if len(agreed) else 0


def _first(one: ComparedRun, other: ComparedRun) -> Iterator[str]:
    """Yield lines about the first step at which the metrics of two runs differ."""
    frames = one.run.metrics(), other.run.metrics()
    logged = [frame[STEP].to_numpy() for frame in frames]
    steps, *rows = np.intersect1d(logged[0], logged[1], return_indices=True)
    left_out = SINCE_ROW if one.run.config.log_every != other.run.config.log_every else set()
    shared = [name for name in CATALOG if all(name in frame.columns for frame in frames)]
    names = [name for name in shared if name not in left_out]
    values = np.array(
        [
            [frame[name].to_numpy()[row] for name in names]
            for frame, row in zip(frames, rows, strict=True)
        ],
        float,
    )  # (2, metrics, steps)
    equal = (values[0] == values[1]) | np.isnan(values).all(0)
    differing = np.flatnonzero(~equal.all(0))
    both = f"the {counted(len(steps), 'step')} that both have logged"
    if not len(differing):
        yield f"  their metrics agree at all of {both}"
        return
    first = differing[0]
    before = f", and agree until step {steps[first - 1]}" if first else ""
    yield f"  their metrics part at step {steps[first]}{before} (of {both})"
    for place in np.flatnonzero(~equal[:, first])[:NAMED]:
        pair = " and ".join(repr(float(value)) for value in values[:, place, first])
        yield f"  {names[place]} is {pair}"
