"""Compare arms with arms on the same seeds, by one or more measures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw2exp.compare.measures import Groups, Measure, measure_of
from hw2exp.diagnostics.paired_tests import SIGNIFICANT, Difference, differences
from hw2exp.diagnostics.statistics import Floats
from hw2exp.records.arms import Arm

FEWEST = 2
"""Fewest seeds of a comparison."""


@dataclass(frozen=True)
class Paired:
    """A measure of two sides on the seeds that both have.

    Args:
        name: the measure.
        a: the arms of one side.
        b: the arms of the other side.
        seeds: the seeds, ``(R,)``.
        values: the measure of either side by seed, ``(2, R)``.
    """

    name: str
    a: Sequence[Arm]
    b: Sequence[Arm]
    seeds: Sequence[int]
    values: Floats

    @property
    def measure(self) -> Measure:
        """Return the measure."""
        return measure_of(self.name)

    @property
    def unit(self) -> float:
        """Return the smallest nonzero difference of a seed."""
        return min(self.measure.unit(run) for arm in self.a for run in arm.runs.values())


@dataclass(frozen=True)
class Contrast:
    """A comparison of two sides in a measure.

    Args:
        paired: the values compared.
        difference: the mean difference, the first side less the other.
        diverged: the difference in the share of runs that diverged, if it matters for the measure.
    """

    paired: Paired
    difference: Difference
    diverged: Difference | None

    @property
    def verdict(self) -> str:
        """Return whether the first side has less or more, see :func:`verdict_of`."""
        return verdict_of(self.difference, self.diverged, "less")


def verdict_of(difference: Difference, diverged: Difference | None, less: str = "fewer") -> str:
    """Return a comparison's verdict: on divergence, or else on the difference itself.

    A run that diverges early has few spikes, so spikes decide nothing where more runs diverge on
    one side, or may do so. Every table, figure and sentence follows this rule.

    Args:
        difference: the difference.
        diverged: the difference in the share of diverged runs; None if it does not matter.
        less: the word for a negative difference.
    """
    if diverged is not None and diverged.pvalue < SIGNIFICANT:
        return "fewer diverge" if diverged.value < 0 else "more diverge"
    if not comparable(diverged) or not difference.pvalue < SIGNIFICANT:
        return "undecided"
    return less if difference.value < 0 else "more"


def on_divergence(verdict: str) -> bool:
    """Return whether a verdict of :func:`verdict_of` is on divergence, not on the difference."""
    return verdict.endswith("diverge")


def decided(verdict: str) -> bool:
    """Return whether a verdict of :func:`verdict_of` is on the difference, and says its sign."""
    return verdict in ("fewer", "less", "more")


def comparable(diverged: Difference | None) -> bool:
    """Return whether the shares of diverged runs don't differ, or don't matter.

    The p-value has no correction: this is a condition for comparing spikes, not a finding.
    """
    return diverged is None or diverged.pvalue_alone >= SIGNIFICANT


def paired(name: str, groups: Groups) -> list[Paired]:
    """Pair the values of the arms on either side by seed; leave out groups with a single pair.

    Args:
        name: the measure.
        groups: the arms of both sides of each comparison.
    """
    found = []
    for a, b in groups:
        one, other = (measure_of(name).by_seed(arms) for arms in (a, b))
        seeds = [seed for seed in one if seed in other]
        values = np.array([[one[seed] for seed in seeds], [other[seed] for seed in seeds]], float)
        if len(seeds) >= FEWEST:
            found.append(Paired(name, a, b, seeds, values))
    return found


def differences_of(rows: Sequence[Paired]) -> list[Difference]:
    """Return the mean difference of each comparison; p-values are corrected for all of them."""
    return differences([_difference(*each.values) for each in rows], [each.unit for each in rows])


def _difference(one: Floats, other: Floats) -> Floats:
    """Subtract values of the same seeds; means that differ by rounding alone are equal."""
    size = np.maximum(np.abs(one), np.abs(other))
    with np.errstate(invalid="ignore"):  # if both sides are infinite
        own = one - other
    return np.where(np.isfinite(size) & (np.abs(own) <= 1e-12 * size), 0.0, own)


def contrasts(rows: Sequence[Paired]) -> list[Contrast]:
    """Compare sides; p-values are corrected for the number of comparisons over all measures."""
    guarded = [each for each in rows if each.measure.cut_short]
    of_runs = [paired("diverged", [(each.a, each.b)]) for each in guarded]
    diverged = iter(differences_of([each for found in of_runs for each in found]))
    return [
        Contrast(each, own, next(diverged) if each.measure.cut_short else None)
        for each, own in zip(rows, differences_of(rows), strict=True)
    ]
