"""Read the diagnostics recorded while runs trained, as arrays."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hw2exp.config.run_files import DIAGNOSTICS
from hw2exp.diagnostics.statistics import Floats
from hw2exp.records.arms import Arm, Run
from hw2exp.records.diagnostics import LISTS, NUMBERS, read_diagnostics
from hw2exp.records.step_table import STEP
from hw2exp.system.problems import counted

if TYPE_CHECKING:
    import polars

Steps = NDArray[np.int64]


@dataclass(frozen=True)
class Diagnosed:
    """A run and its looks: the steps at which any diagnostic was measured.

    Args:
        run: the run.
        steps: the steps of the looks, ``(n,)``.
        numbers: the values of each column, NaN where not measured, ``(n,)`` each.
    """

    run: Run
    steps: Steps
    numbers: Mapping[str, Floats]

    def measured(self, name: str) -> tuple[Steps, Floats]:
        """Return the steps and the finite values of one of ``NUMBERS``, ``(m,)`` each."""
        known = np.isfinite(self.numbers[name])
        return self.steps[known], self.numbers[name][known]

    def lists(self, name: str) -> tuple[Steps, Floats]:
        """Return the steps, ``(m,)``, and measured values, ``(m, length)``, of one of ``LISTS``.

        Each call reads the file: the lists of a thousand runs would fill the memory.

        Raises:
            OSError: the diagnostics can't be read.
            ValueError: the diagnostics are damaged.
        """
        frame = _checked(self.run).select(STEP, name).drop_nulls()
        rows = [column.to_numpy() for column in frame[name]]
        length = len(rows[0]) if rows else 0
        return frame[STEP].to_numpy(), np.array(rows, dtype=float).reshape(len(rows), length)


def read_diagnosed(arms: Sequence[Arm]) -> tuple[list[tuple[Arm, list[Diagnosed]]], list[str]]:
    """Read the diagnostics of all runs that have some.

    Returns:
        The arms that have such runs, with these runs by seed; and a line for each reason why
        diagnostics were left out.
    """
    found: list[tuple[Arm, list[Diagnosed]]] = []
    left_out: Counter[str] = Counter()
    for arm in arms:
        own = []
        for run in arm.runs.values():
            if not os.path.lexists(run.folder / DIAGNOSTICS):
                left_out["missing"] += run.config.inspected
                continue
            try:
                own.append(_of(run))
            except (OSError, ValueError):
                left_out["can't be read"] += 1
        if own:
            found.append((arm, own))
    lines = [
        f"diagnostics of {counted(count, 'run')} left out: {why}"
        for why, count in left_out.items()
        if count
    ]
    return found, lines


def _of(run: Run) -> Diagnosed:
    frame = _checked(run)
    numbers = {name: frame[name].cast(float).fill_null(np.nan).to_numpy() for name in NUMBERS}
    return Diagnosed(run, frame[STEP].to_numpy(), numbers)


def _checked(run: Run) -> "polars.DataFrame":
    """Read a run's diagnostics; raise ValueError if their steps or lists don't fit the run."""
    import polars

    frame = read_diagnostics(run.folder)
    if not frame.height or frame[STEP][-1] > run.result.step:
        raise ValueError("the steps of the diagnostics are not those of the run")
    if any(frame[name].list.len().drop_nulls().n_unique() > 1 for name in LISTS):
        raise ValueError("the lists of the diagnostics differ in length")
    return frame.cast({STEP: polars.Int64})
