"""Judge the claim of Pascanu, Mikolov & Bengio 2013, figure 7: SGD < clipping < clipping and Ω."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from hw2exp.diagnostics.statistics import paired_pvalue
from hw2exp.records.arms import Arm
from hw2exp.report.claims.claim import Claim, Finding, Judged, percent
from hw2exp.report.lengths import by_length
from hw2exp.report.measures import SIGNIFICANT, Comparison

METHODS = "", "clip=norm", "clip=norm regularizer=omega"
CALLED = "SGD", "clipping", "clipping and Ω"


def methods_in_order(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Judge whether each method solves more runs than the one before, over the lengths."""
    plain = [arm for arm in arms if arm.optimizer == "sgd"]
    for group in by_length(plain):
        if not all(method in group.lines for method in METHODS):
            continue
        shares = [_solved(group.lines[method]) for method in METHODS]
        seeds = sorted(set.intersection(*map(set, shares)))
        columns = np.array([[share[seed] for seed in seeds] for share in shares])  # (3, seeds)
        steps = [columns[1] - columns[0], columns[2] - columns[1]]
        up = [paired_pvalue(step, "greater") < SIGNIFICANT for step in steps]
        down = [paired_pvalue(step, "less") < SIGNIFICANT for step in steps]
        finding = Finding.SUPPORTED if all(up) else Finding.UNDECIDED
        if any(down):
            finding = Finding.REFUTED
        told = ", ".join(
            f"{name} {percent(float(column.mean()))}"
            for name, column in zip(CALLED, columns, strict=True)
        )
        lengths = ", ".join(map(str, group.lines[METHODS[0]]))
        yield Judged(group.name, finding, f"solved over lengths {lengths}: {told}")


def _solved(line: Mapping[int, Arm]) -> dict[int, float]:
    """Return the share of lengths at which each seed's run solves the task."""
    seeds = set.intersection(*(set(arm.runs) for arm in line.values()))
    return {
        seed: float(np.mean([arm.runs[seed].result.solved_at is not None for arm in line.values()]))
        for seed in seeds
    }


CLAIMS = (
    Claim(
        "Pascanu, fig. 7",
        "SGD solves fewer runs than with clipping, and that fewer than with Ω as well",
        "the share of the sequence lengths at which a seed's run solves the task, by method on the "
        f"same seeds: supported if it rises twice, by turning signs at {SIGNIFICANT}; refuted if "
        "it falls once",
        methods_in_order,
    ),
)
