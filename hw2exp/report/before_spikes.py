"""What diagnostics say of the steps before spikes, against all other steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw2exp.diagnostics.spikes import first_watched
from hw2exp.records.runs import Arm, Run
from hw2exp.report.diagnosed import Diagnosed, Floats, Steps
from hw2exp.statistics import Estimate, median, proportion

NEAR = 20
"""A look is before a spike if it comes at most so many steps before the first step of one."""


FEWEST = 6
"""Runs that an interval is told of: from here on the median's has ends, and the bootstrap sense."""


class Phase(StrEnum):
    """Where in a run a look was made: each is of one phase, or of none before spikes can begin."""

    BEFORE = "before"
    DURING = "during"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Counted:
    """An estimate, and what it rests on.

    Args:
        estimate: the value with its interval over runs; none of fewer than ``FEWEST``.
        looks: how many were used.
        runs: how many have such looks.
    """

    estimate: Estimate
    looks: int
    runs: int


@dataclass(frozen=True)
class ArmLooks:
    """What the looks into an arm's runs say.

    Args:
        arm: the arm.
        runs: how many of its runs were looked into.
        looks: how many looks there were in all.
        growth: the factor by which a gradient grows with each time step back: the median over
            runs of each run's median.
        unstable: the share of looks at which the sharpness exceeded the optimizer's limit.
        unstable_ever: the same of all looks, those before spikes can begin among them.
        lyapunov: each run's largest Lyapunov exponent: the median over runs.
        lyapunov_spread: how far that exponent may be off: the median over runs of its spread.
        lyapunov_signed: the share of the looks at an exponent whose sign is known: it exceeds the
            spread over the directions from which it was measured.
    """

    arm: Arm
    runs: int
    looks: int
    growth: Mapping[Phase, Counted]
    unstable: Mapping[Phase, Counted]
    unstable_ever: Counted
    lyapunov: Counted
    lyapunov_spread: Counted
    lyapunov_signed: Counted


def look_at(arm: Arm, looked: Sequence[Diagnosed]) -> ArmLooks:
    """Measure an arm's looks.

    Args:
        arm: the arm.
        looked: its runs that were looked into.
    """
    masks = [phases(each.run, each.steps) for each in looked]
    growth = [_finite(each.numbers["gradient_growth"]) for each in looked]
    unstable = [_unstable(each) for each in looked]
    lyapunov = [_finite(each.numbers["lyapunov"]) for each in looked]
    return ArmLooks(
        arm,
        len(looked),
        sum(len(each.steps) for each in looked),
        {phase: _median(_within(growth, masks, phase), np.median) for phase in Phase},
        {phase: _share(_within(unstable, masks, phase)) for phase in Phase},
        _share(unstable),
        _median(lyapunov, np.max),
        _median([_spread_of_largest(each) for each in looked], np.max),
        _share([_signed(each) for each in looked]),
    )


def phases(run: Run, steps: Steps) -> Mapping[Phase, NDArray[np.bool_]]:
    """Which looks are of which phase, ``(n,)`` each.

    Looks from a spike's first to its last step are during it, also where the next one is near;
    from when half the window of the running median was seen, all others are elsewhere.

    Args:
        run: the run.
        steps: of its looks, ``(n,)``.
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
    """1 where the sharpness exceeds the limit, 0 where not, NaN where that is not known."""
    sharp, limit = (looked.numbers[f"sharpness_{name}"] for name in ("preconditioned", "limit"))
    return np.where(np.isnan(sharp) | np.isnan(limit), np.nan, sharp > limit)


def _spread_of_largest(looked: Diagnosed) -> Floats:
    """The spread of the run's largest exponent, ``(1,)``; ``(0,)`` without exponents."""
    exponent, spread = (_finite(looked.numbers[f"lyapunov{end}"]) for end in ("", "_spread"))
    largest: Floats = spread[exponent == np.fmax.reduce(exponent, initial=-np.inf)]
    return largest[:1]


def _signed(looked: Diagnosed) -> Floats:
    """1 where the exponent's sign is known, 0 where not, NaN where no exponent or spread is."""
    exponent, spread = (_finite(looked.numbers[f"lyapunov{end}"]) for end in ("", "_spread"))
    return np.where(np.isnan(exponent) | np.isnan(spread), np.nan, np.abs(exponent) > spread)


def _within(
    values: Sequence[Floats], masks: Sequence[Mapping[Phase, NDArray[np.bool_]]], phase: Phase
) -> list[Floats]:
    return [own[mask[phase]] for own, mask in zip(values, masks, strict=True)]


def _known(values: Sequence[Floats]) -> list[Floats]:
    """Each run's values without NaN; no runs that have none."""
    return [known for own in values if len(known := own[~np.isnan(own)])]


def _median(values: Sequence[Floats], of_run: Callable[[Floats], Any]) -> Counted:
    known = _known(values)
    return _counted(median([of_run(own) for own in known]), known)


def _share(values: Sequence[Floats]) -> Counted:
    """Of all looks; those of one run depend on each other, so the interval is over runs."""
    known = _known(values)
    return _counted(_pooled(known), known)


def _pooled(known: Sequence[Floats]) -> Estimate:
    if not known:
        return Estimate(nan, nan, nan)
    return proportion([own.sum() for own in known], [len(own) for own in known])


def _counted(estimate: Estimate, known: Sequence[Floats]) -> Counted:
    if len(known) < FEWEST:
        estimate = Estimate(estimate.value, nan, nan)
    return Counted(estimate, sum(len(own) for own in known), len(known))
