"""Show and judge at which sequence lengths runs solve their task (Pascanu et al. 2013, fig. 7)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hw2exp.config.groups import AnyOrder
from hw2exp.diagnostics.paired_tests import SIGNIFICANT, paired_pvalue
from hw2exp.diagnostics.shares import share
from hw2exp.records.arm_names import names
from hw2exp.records.arms import NO_CURE, Arm, Key
from hw2exp.report.claim import Claim, Evidence, Judged, finding_of
from hw2exp.report.solving import one_legend
from hw2exp.report.style import PALETTE, folded, grid, label_outer
from hw2exp.report.tables import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LEAST = 3
"""Least number of lengths in a group."""


@dataclass(frozen=True)
class ByLength:
    """Arms that differ only in their cures and in the task.

    Args:
        name: the settings that tell the group from others.
        lines: for each set of cures with their knobs, the arm of each length, in ascending order.
    """

    name: str
    lines: Mapping[str, Mapping[int, Arm]]


def by_length(arms: Sequence[Arm]) -> list[ByLength]:
    """Group the arms that differ only in cures and task, and have ``LEAST`` lengths or more."""
    groups: dict[Key, dict[Key, dict[int, Arm]]] = {}
    for arm in arms:
        lines = groups.setdefault(arm.settings_but("task", *NO_CURE), {})
        cure = tuple(each for each in arm.settings.items() if each[0].partition(".")[0] in NO_CURE)
        lines.setdefault(cure, {})[_length(arm)] = arm
    found = [
        (rest, lines) for rest, lines in groups.items() if max(map(len, lines.values())) >= LEAST
    ]
    called = names([dict(rest) for rest, _ in found])
    return [ByLength(name, _named(lines)) for name, (_, lines) in zip(called, found, strict=True)]


def _named(lines: Mapping[Key, Mapping[int, Arm]]) -> dict[str, dict[int, Arm]]:
    """Name the lines by their cures, and by the knobs in which lines of the same cures differ."""
    alike: dict[str, dict[Key, Mapping[int, Arm]]] = {}
    for settings, line in lines.items():
        alike.setdefault(next(iter(line.values())).cures, {})[settings] = line
    found = {}
    for cures, several in alike.items():
        knobs = names([dict(settings) for settings in several])
        for name, line in zip(knobs, several.values(), strict=True):
            found[f"{cures} {name}" if len(several) > 1 else cures] = dict(sorted(line.items()))
    return found


def _length(arm: Arm) -> int:
    """Return the largest sequence length of an arm."""
    task = arm.config.task
    return task.ranges[0][1] - 1 if isinstance(task, AnyOrder) else 0


def lengths_figure(found: Sequence[ByLength]) -> "Figure":
    """Draw the share of runs that solve the task against the length, a panel for each group.

    A panel has a line for each set of cures.
    """
    figure, panels = grid(len(found), height=2.6)
    for axes, group in zip(panels, found, strict=True):
        for place, (cures, line) in enumerate(group.lines.items()):
            shares = [
                share(sum(r.solved_at is not None for r in arm.results), len(arm.results))
                for arm in line.values()
            ]
            ends = [[each.value - each.low for each in shares], [e.high - e.value for e in shares]]
            axes.errorbar(
                [length + 0.4 * place for length in line],
                [each.value for each in shares],
                np.maximum(ends, 0),
                color=PALETTE[place % len(PALETTE)], linewidth=1.2, capsize=2,
                marker="o", markersize=3.5, label=cures or "no cure",
            )  # fmt: skip
        axes.set_title(folded(group.name), fontsize=7.5)
        axes.set_ylim(-0.03, 1.03)
    label_outer(panels, "length of a sequence", "share of runs that solve it")
    one_legend(figure, panels)
    return figure


LENGTHS = (
    "The share of runs that solve the task within their steps, against the length of its "
    "sequences, with Wilson's 95 % interval."
)

METHODS = "", "clip=norm", "clip=norm regularizer=omega"

CALLED = "SGD", "clipping", "clipping and Ω"


def methods_in_order(evidence: Evidence) -> Iterable[Judged]:
    """Judge whether each method solves more runs than the one before, over the lengths."""
    plain = [arm for arm in evidence.arms if arm.optimizer == "sgd"]
    for group in by_length(plain):
        if not all(method in group.lines for method in METHODS):
            continue
        shares = [_solved(group.lines[method]) for method in METHODS]
        seeds = sorted(set.intersection(*map(set, shares)))
        columns = np.array([[share[seed] for seed in seeds] for share in shares])  # (3, seeds)
        steps = [columns[1] - columns[0], columns[2] - columns[1]]
        up = [paired_pvalue(step, "greater") < SIGNIFICANT for step in steps]
        down = [paired_pvalue(step, "less") < SIGNIFICANT for step in steps]
        numbers = ", ".join(
            f"{name} {percent(float(column.mean()))}"
            for name, column in zip(CALLED, columns, strict=True)
        )
        lengths = ", ".join(map(str, group.lines[METHODS[0]]))
        yield Judged(
            group.name, finding_of(all(up), any(down)), f"solved over lengths {lengths}: {numbers}"
        )


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
