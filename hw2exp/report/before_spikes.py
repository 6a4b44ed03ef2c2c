"""Compare the diagnostics of the steps before spikes with those of all other steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw2exp.diagnostics.shares import proportion
from hw2exp.diagnostics.spikes import first_watched
from hw2exp.diagnostics.statistics import Estimate, Floats, median
from hw2exp.records.arms import Arm, Run
from hw2exp.report.diagnosed import Diagnosed, Steps
from hw2exp.report.tables import cell, columns, number, percent, plain
from hw2exp.system.problems import counted

NEAR = 20
"""A look is before a spike if it comes at most this many steps before the spike's first step."""

FEWEST = 6
"""Least runs for an interval: with fewer, a median has none, and a bootstrap means nothing."""

SHARES = "unstable", "lyapunov_signed"
"""Beginnings of the names of the estimates that are shares."""


class Phase(StrEnum):
    """The phase of a look: exactly one, or none where spikes can't begin yet."""

    BEFORE = "before"
    DURING = "during"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Counted:
    """An estimate with its sample size.

    Args:
        estimate: the value with its interval over runs; no interval for fewer than ``FEWEST``.
        looks: number of looks used.
        runs: number of runs with such looks.
    """

    estimate: Estimate
    looks: int
    runs: int


@dataclass(frozen=True)
class ArmLooks:
    """The diagnostics of an arm's runs.

    Args:
        arm: the arm.
        runs: number of its runs that have looks.
        looks: number of looks in all.
        estimates: the estimates by column of the table, in the order of the page. ``growth_*``: the
            factor by which a gradient grows with each time step back in a phase, the median over
            runs of each run's median. ``unstable_*``: the share of a phase's looks at which the
            sharpness exceeds the optimizer's limit; ``unstable``: that of all looks, including
            those where spikes can't begin yet. ``lyapunov``: each run's largest Lyapunov exponent,
            the median over runs; ``lyapunov_spread``: the spread of that exponent over directions,
            likewise; ``lyapunov_signed``: the share of looks at which the exponent's sign is known,
            since its absolute value exceeds that spread.
    """

    arm: Arm
    runs: int
    looks: int
    estimates: Mapping[str, Counted]


def look_at(arm: Arm, looked: Sequence[Diagnosed]) -> ArmLooks:
    """Summarize the looks of an arm's runs.

    Args:
        arm: the arm.
        looked: the looks of those of its runs that have some.
    """
    masks = [phases(each.run, each.steps) for each in looked]
    growth = [_finite(each.numbers["gradient_growth"]) for each in looked]
    unstable = [_unstable(each) for each in looked]
    lyapunov = [_finite(each.numbers["lyapunov"]) for each in looked]
    of_phases = {p: (_within(growth, masks, p), _within(unstable, masks, p)) for p in Phase}
    estimates = {
        **{f"growth_{phase}": _median(own, np.median) for phase, (own, _) in of_phases.items()},
        "unstable": _share(unstable),
        **{f"unstable_{phase}": _share(own) for phase, (_, own) in of_phases.items()},
        "lyapunov": _median(lyapunov, np.max),
        "lyapunov_spread": _median([_spread_of_largest(each) for each in looked], np.max),
        "lyapunov_signed": _share([_signed(each) for each in looked]),
    }
    return ArmLooks(arm, len(looked), sum(len(each.steps) for each in looked), estimates)


def phases(run: Run, steps: Steps) -> Mapping[Phase, NDArray[np.bool_]]:
    """Return a mask of a run's looks, at steps ``(n,)``, for each phase, ``(n,)`` each.

    A look from a spike's first to its last step is during, even if the next spike is near. All
    others are elsewhere, once half the window of the running median is full.
    """
    before, during = np.zeros((2, len(steps)), dtype=bool)
    for spike in run.result.spikes:
        before |= (steps >= spike["start"] - NEAR) & (steps < spike["start"])
        during |= (steps >= spike["start"]) & (steps <= spike["end"])
    watched = steps >= first_watched(run.config.spikes.window)
    return {
        Phase.BEFORE: before & ~during,
        Phase.DURING: during,
        Phase.ELSEWHERE: watched & ~before & ~during,
    }


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)


def _unstable(looked: Diagnosed) -> Floats:
    """Return 1 where the sharpness exceeds the limit, 0 where not, NaN where unknown, ``(n,)``."""
    sharp, limit = (looked.numbers[f"sharpness_{name}"] for name in ("preconditioned", "limit"))
    return np.where(np.isnan(sharp) | np.isnan(limit), np.nan, sharp > limit)


def _spread_of_largest(looked: Diagnosed) -> Floats:
    """Return the spread of the run's largest exponent, ``(1,)``; ``(0,)`` without exponents."""
    exponent, spread = (_finite(looked.numbers[f"lyapunov{end}"]) for end in ("", "_spread"))
    largest: Floats = spread[exponent == np.fmax.reduce(exponent, initial=-np.inf)]
    return largest[:1]


def _signed(looked: Diagnosed) -> Floats:
    """Return 1 where |exponent| exceeds the spread, 0 where not, NaN where unknown, ``(n,)``."""
    exponent, spread = (_finite(looked.numbers[f"lyapunov{end}"]) for end in ("", "_spread"))
    return np.where(np.isnan(exponent) | np.isnan(spread), np.nan, np.abs(exponent) > spread)


def _within(
    values: Sequence[Floats], masks: Sequence[Mapping[Phase, NDArray[np.bool_]]], phase: Phase
) -> list[Floats]:
    return [own[mask[phase]] for own, mask in zip(values, masks, strict=True)]


def _known(values: Sequence[Floats]) -> list[Floats]:
    """Drop NaN from each run's values, then the runs without values."""
    return [known for own in values if len(known := own[~np.isnan(own)])]


def _median(values: Sequence[Floats], of_run: Callable[[Floats], Any]) -> Counted:
    known = _known(values)
    return _counted(median([of_run(own) for own in known]), known)


def _share(values: Sequence[Floats]) -> Counted:
    """Return the share over all looks; the interval is over runs, as a run's looks correlate."""
    known = _known(values)
    pooled = proportion([own.sum() for own in known], [len(own) for own in known])
    return _counted(pooled, known)


def _counted(estimate: Estimate, known: Sequence[Floats]) -> Counted:
    if len(known) < FEWEST:
        estimate = Estimate(estimate.value, nan, nan)
    return Counted(estimate, sum(len(own) for own in known), len(known))


def why_rows(looks: Sequence[ArmLooks]) -> list[dict[str, Any]]:
    """Make a row for each arm with looks: its estimates, and the numbers of looks and runs used."""
    rows = []
    for each in looks:
        row: dict[str, Any] = {"arm": each.arm.name, "runs": each.runs, "looks": each.looks}
        for name, own in each.estimates.items():
            row |= columns(name, own.estimate)
            row |= {f"{name}_looks": own.looks, f"{name}_runs": own.runs}
        rows.append(row)
    return rows


def look_cells(each: ArmLooks) -> list[dict[str, Any]]:
    """Return an arm's cells on the page."""
    return [
        *(plain(count) | {"basis": ""} for count in (each.runs, each.looks)),
        *(
            _cell(own, percent if name.startswith(SHARES) else number)
            for name, own in each.estimates.items()
        ),
    ]


def _cell(found: Counted, written: Callable[[float], str]) -> dict[str, Any]:
    basis = f"{counted(found.looks, 'look')}, {counted(found.runs, 'run')}" if found.runs else ""
    return cell(found.estimate, written) | {"basis": basis}
