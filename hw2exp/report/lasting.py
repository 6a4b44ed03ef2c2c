"""Compare branches in which a cure stays on with the run itself, from the same state."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hw2exp.compare.measures import PER
from hw2exp.diagnostics.paired_tests import differences
from hw2exp.diagnostics.statistics import Estimate, rate
from hw2exp.records.arms import Arm
from hw2exp.records.moments import NOTHING, MomentKind
from hw2exp.report.branches import SEED, ArmBranches
from hw2exp.report.comparisons import Change, change_cells, change_columns
from hw2exp.report.effects import is_main
from hw2exp.report.tables import cell, columns, number, plain


@dataclass(frozen=True)
class Lasting(Change):
    """The effect of a cure that stays on from a step, against none, on the same seeds.

    Args:
        arm: the arm.
        do: the cure.
        kind: its family.
        start: the step from which it is on.
        without: spikes per 1,000 steps without it.
    """

    arm: Arm
    do: str
    kind: str
    start: int
    without: Estimate


def lasting(tried: Sequence[ArmBranches]) -> list[Lasting]:
    """Compare each cure that stays on from a step with none; p-values are corrected for all."""
    import polars

    col, keys = polars.col, [SEED, "start"]
    both: list[tuple[Arm, Any, Any, Any, polars.DataFrame]] = []
    for each in tried:
        rows = each.branches.filter(col("moment") == MomentKind.STEP)
        paired = rows.join(rows.filter(col("do") == NOTHING), on=keys, suffix="_without")
        cures = paired.filter(col("do") != NOTHING)
        both += [
            (each.arm, *key, pairs)
            for key, pairs in cures.group_by("do", "kind", "start", maintain_order=True)
            if pairs.height > 1
        ]
    found = {
        "spikes": differences(
            [_per_1000(pairs) - _per_1000(pairs, "_without") for *_, pairs in both],
            [float(PER / pairs["steps_without"].clip(1).to_numpy().max()) for *_, pairs in both],
        )
    }
    for name, column in (("ends_solved", "solved"), ("diverged", "diverged")):
        changes = [
            pairs[column].cast(float) - pairs[f"{column}_without"].cast(float) for *_, pairs in both
        ]
        found[name] = differences([each.to_numpy() for each in changes], [1.0] * len(both))
    return [
        Lasting(
            seeds=pairs.height,
            arm=arm,
            do=do,
            kind=kind,
            start=start,
            without=rate(pairs["spikes_without"], pairs["steps_without"].clip(1) / PER),
            **{name: own[place] for name, own in found.items()},
        )
        for place, (arm, do, kind, start, pairs) in enumerate(both)
    ]


def _per_1000(pairs: Any, side: str = "") -> Any:
    """Return the spikes per 1,000 steps of each run; a branch may diverge at once."""
    return PER * (pairs[f"spikes{side}"] / pairs[f"steps{side}"].clip(1)).to_numpy()


def main_lasting(found: Sequence[Lasting]) -> list[Lasting]:
    """Return the effects that the page shows."""
    return [each for each in found if is_main(each.do, each.kind)]


SHARES = "ends_solved", "diverged"


def lasting_rows(found: Sequence[Lasting]) -> list[dict[str, Any]]:
    """Make a row for each arm, cure and step from which it is on."""
    return [
        {
            "arm": each.arm.name,
            "do": each.do,
            "from_step": each.start,
            "seeds": each.seeds,
            **columns("without_per_1000", each.without),
            **change_columns(each, SHARES),
        }
        for each in found
    ]


def lasting_cells(each: Lasting) -> list[dict[str, Any]]:
    """Return a comparison's cells on the page."""
    known = plain(each.start), plain(each.seeds), cell(each.without, number)
    return [*known, *change_cells(each, SHARES)]
