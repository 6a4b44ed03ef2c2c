"""Compare each cure with none on the same seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hw2exp.compare.contrasts import (
    comparable,
    decided,
    differences_of,
    on_divergence,
    paired,
    verdict_of,
)
from hw2exp.diagnostics.paired_tests import SIGNIFICANT, Difference
from hw2exp.records.arms import Arm
from hw2exp.report.tables import cell, columns, plain, points, signed


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
        """Return whether the shares of diverged runs don't differ."""
        return comparable(self.diverged)

    @property
    def verdict(self) -> str:
        """Return the cure's effect on divergence, or else on the number of spikes."""
        return verdict_of(self.spikes, self.diverged)


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


COMPARED = "spikes", "solved", "ends_solved", "diverged"
"""The measures compared between the two runs of a seed: fields of a comparison."""


def compare(pairs: Sequence[tuple[Arm, Arm]]) -> list[Comparison]:
    """Compare arms that have a cure with arms that have none, on the seeds that both have.

    Args:
        pairs: pairs of an arm with a cure and one without; with fewer than two shared seeds, a
            pair is left out.
    """
    both = {name: paired(name, [([cured], [plain]) for cured, plain in pairs]) for name in COMPARED}
    found = {name: differences_of(rows) for name, rows in both.items()}
    return [
        Comparison(
            seeds=len(each.seeds),
            cured=each.a[0],
            plain=each.b[0],
            **{name: differences[place] for name, differences in found.items()},
        )
        for place, each in enumerate(both["spikes"])
    ]


SHARES = "solved", "ends_solved", "diverged"
"""The fields of a comparison that are differences in shares of runs."""


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
    """Return the columns of a change: in spikes, with the verdict, and in some shares of runs."""
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


def divergence_text(diverged: Difference, verdict: str) -> str:
    """Write a difference in the share of diverged runs, with a star if the verdict is on it."""
    return f"{signed(100 * diverged.value)} points diverge{'*' * on_divergence(verdict)}"


def change_text(each: Change, shares: Sequence[str]) -> str:
    """Write a change, with a star where it is significant; leave out shares that don't differ."""
    text = f"{signed(each.spikes.value)}{'*' * decided(each.verdict)}"
    if not each.comparable:
        text = divergence_text(each.diverged, each.verdict)
    for name in shares:
        if (own := getattr(each, name)).pvalue < SIGNIFICANT:
            text += f" ({name.replace('_', ' ')} {signed(100 * own.value)} points)"
    return text


def pvalue_cell(difference: Difference) -> dict[str, Any]:
    """Make a cell of a difference's p-value."""
    return plain(difference.pvalue, f"{difference.pvalue:.2g}")
