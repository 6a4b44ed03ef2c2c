"""Compare each cure with none on the same seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from hw2exp.diagnostics.paired_tests import adjusted, mean_difference, paired_pvalues
from hw2exp.diagnostics.statistics import Estimate
from hw2exp.records.arms import Arm
from hw2exp.records.run_dir import RunResult
from hw2exp.report.measures import PER, SIGNIFICANT, spikes_per_1000
from hw2exp.report.tables import cell, columns, plain, points, signed


@dataclass(frozen=True)
class Difference(Estimate):
    """The mean of the paired differences between a cure and none.

    Args:
        pvalue: the p-value of no difference, corrected for the number of comparisons.
        pvalue_alone: the same without the correction.
    """

    pvalue: float
    pvalue_alone: float


@dataclass(frozen=True)
class Change:
    """The change that a cure makes, on the same seeds.

    Args:
        seeds: number of seeds.
        spikes: difference in spikes per 1,000 steps.
        ends_solved: difference in the share of runs that end solved.
        diverged: difference in the share of runs that diverged.
    """

    seeds: int
    spikes: Difference
    ends_solved: Difference
    diverged: Difference

    @property
    def comparable(self) -> bool:
        """Return whether the shares of diverged runs don't differ.

        The p-value has no correction: this is a condition for comparing spikes, not a finding.
        """
        return self.diverged.pvalue_alone >= SIGNIFICANT

    @property
    def verdict(self) -> str:
        """Return the cure's effect on divergence, or else on the number of spikes.

        A run that diverges early has few spikes, so spikes decide nothing where more runs diverge
        on one side, or may do so. Every table, figure and sentence follows this rule.
        """
        if self.diverged.pvalue < SIGNIFICANT:
            return "fewer diverge" if self.diverged.value < 0 else "more diverge"
        if not self.comparable or not self.spikes.pvalue < SIGNIFICANT:
            return "undecided"
        return "fewer" if self.spikes.value < 0 else "more"


@dataclass(frozen=True)
class Comparison(Change):
    """A comparison of a cure with none on the seeds that both arms have.

    Args:
        cured: the arm with the cure.
        plain: the arm without.
        solved: difference in the share of runs that solved the task at some time.
    """

    cured: Arm
    plain: Arm
    solved: Difference

    @property
    def own_rate(self) -> bool:
        """Return whether the two arms differ in the learning rate."""
        return self.cured.rate != self.plain.rate


COMPARED: Mapping[str, Callable[[RunResult], float]] = {
    "spikes": spikes_per_1000,
    "solved": lambda result: float(result.solved_at is not None),
    "ends_solved": lambda result: float(bool(result.ends_solved)),
    "diverged": lambda result: float(result.diverged_at is not None),
}
"""The quantity compared between the two runs of a seed, by the field of a comparison."""


def compare(pairs: Sequence[tuple[Arm, Arm]]) -> list[Comparison]:
    """Compare pairs of an arm with a cure and one without, on the seeds shared, two or more."""
    both = [
        (cured, plain, seeds)
        for cured, plain in pairs
        if len(seeds := [seed for seed in cured.runs if seed in plain.runs]) > 1
    ]
    found = {name: _of_pairs(name, both) for name in COMPARED}
    return [
        Comparison(
            seeds=len(seeds),
            cured=cured,
            plain=plain,
            **{name: differences[place] for name, differences in found.items()},
        )
        for place, (cured, plain, seeds) in enumerate(both)
    ]


def _of_pairs(name: str, both: Sequence[tuple[Arm, Arm, Sequence[int]]]) -> list[Difference]:
    """Return the difference of each pair of arms in a quantity, on their common seeds."""
    of_run = COMPARED[name]
    paired = [
        [of_run(cured.runs[seed].result) - of_run(plain.runs[seed].result) for seed in seeds]
        for cured, plain, seeds in both
    ]
    return differences(paired, [_unit(name, cured) for cured, _, _ in both])


def differences(paired: Sequence[ArrayLike], units: Sequence[float]) -> list[Difference]:
    """Return the mean of each comparison's paired differences, with corrected p-values.

    Args:
        paired: for each comparison, one difference a seed, ``(R,)``.
        units: for each comparison, the smallest nonzero difference of a pair.
    """
    pvalues = paired_pvalues(paired)
    estimates = [mean_difference(*each) for each in zip(paired, units, strict=True)]
    return [
        Difference(each.value, each.low, each.high, *of_pair)
        for each, *of_pair in zip(estimates, adjusted(pvalues), pvalues, strict=True)
    ]


def _unit(name: str, arm: Arm) -> float:
    """Return the smallest difference of two runs: one spike in all steps, or one yes against no."""
    steps = max(result.step for result in arm.results)
    return PER / steps if name == "spikes" else 1.0


SHARES = "solved", "ends_solved", "diverged"
"""The differences in shares of runs, of a comparison."""


def comparison_rows(compared: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Make a row for each comparison of a cure with none."""
    return [
        {
            "arm": each.cured.name,
            "against": each.plain.name,
            "seeds": each.seeds,
            **change_columns(each, SHARES),
        }
        for each in compared
    ]


def change_columns(each: Change, shares: Sequence[str]) -> dict[str, Any]:
    """Return the columns of a change: in spikes, its verdict, and in some shares of runs."""
    found = {
        **columns("spikes_per_1000", each.spikes),
        "p_spikes": each.spikes.pvalue,
        "comparable": each.comparable,
        "verdict": each.verdict,
    }
    for name in shares:
        own: Difference = getattr(each, name)
        found |= columns(name, own) | {f"p_{name}": own.pvalue}
    return found


def comparison_cells(each: Comparison) -> list[dict[str, Any]]:
    """Return a comparison's cells on the page."""
    return [plain(each.seeds), *change_cells(each, SHARES)]


def change_cells(each: Change, shares: Sequence[str]) -> list[dict[str, Any]]:
    """Return a change's cells on the page, see :func:`change_columns`."""
    return [
        *(cell(each.spikes, signed), pvalue_cell(each.spikes)),
        plain(each.verdict, style=each.verdict),
        *(
            shown
            for name in shares
            for shown in (cell(getattr(each, name), points), pvalue_cell(getattr(each, name)))
        ),
    ]


def change_text(each: Change, shares: Sequence[str]) -> str:
    """Write a change, with a star where it is significant; shares only where they are."""
    star = "*" if each.verdict in ("fewer", "more") else ""
    text = f"{signed(each.spikes.value)}{star}"
    if not each.comparable:
        star = "*" * ("diverge" in each.verdict)
        text = f"{signed(100 * each.diverged.value)} % diverge{star}"
    for name in shares:
        if (own := getattr(each, name)).pvalue < SIGNIFICANT:
            text += f" ({name.replace('_', ' ')} {signed(100 * own.value)} %)"
    return text


def pvalue_cell(difference: Difference) -> dict[str, Any]:
    """Make a cell of a difference's p-value."""
    return plain(difference.pvalue, f"{difference.pvalue:.2g}")
