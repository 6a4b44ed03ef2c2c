"""Show and judge RMSprop's brake: unclipped explosions put it on, a short memory releases it."""

from collections.abc import Iterable, Sequence
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from hw2exp.diagnostics.statistics import quartiles
from hw2exp.records.arms import Arm
from hw2exp.records.figure_style import GRAY
from hw2exp.report.aftermath import (
    AFTER,
    BEFORE,
    LATE,
    LEARNED,
    PLATEAU,
    SOON,
    Aftermath,
    Around,
    Stage,
    aftermath,
)
from hw2exp.report.claim import Claim, Evidence, Judged, finding_of
from hw2exp.report.solving import one_legend
from hw2exp.report.style import folded, panels_of
from hw2exp.report.tables import columns, within
from hw2exp.system.problems import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def after_explosions(found: Sequence[Aftermath]) -> "Figure":
    """Draw the size of updates and the number of spikes after an explosion, one row per stage."""
    stages = [stage for stage in Stage if any(stage in each.stages for each in found)]
    figure, panels = panels_of(10.0, 2.8 * len(stages) + 0.4, len(stages), 2, sharex="col")
    for (moves, spikes), stage in zip(panels, stages, strict=True):
        for place, each in enumerate(found):
            if stage in each.stages:
                _draw_around(moves, spikes, each.stages[stage], f"C{place}", each.arm.name)
        moves.set(yscale="log", ylabel="size of a parameter step")
        spikes.set(ylabel="spikes begun since", xlim=(0, AFTER))
        for axes in (moves, spikes):
            axes.axvline(0, color=GRAY, linewidth=0.7, linestyle="--")
            axes.set_title(f"{stage}", loc="left", fontsize=8)
        moves.axhline(1, color=GRAY, linewidth=0.7)
    for axes in panels[-1]:
        axes.set_xlabel("steps from an exploding gradient")
    one_legend(figure, panels[:, 1])
    return figure


def _draw_around(moves: Any, spikes: Any, around: Around, color: str, name: str) -> None:
    low, middle, high = quartiles(around.updates, axis=0)
    moves.fill_between(around.steps, low, high, color=color, alpha=0.15, linewidth=0)
    moves.plot(around.steps, middle, color=color)
    after = np.arange(1, AFTER + 1)
    spikes.plot(after, around.begun, color=color, label=folded(name, 30))
    spikes.plot(after, around.expected * after / AFTER, color=color, linewidth=0.7, linestyle=":")


AFTERMATH = (
    "From an explosion on: a gradient whose norm exceeds ten times its running median, with no "
    f"other in the {BEFORE} steps before. By the median loss of these steps: plateau {PLATEAU:g} "
    f"or more, learned below {LEARNED:g}. Left: how far the parameters move at a step, relative to "
    "the steps before; median and quartiles over runs. Right: how many spikes have begun since, a "
    "mean over explosions; dotted: how many begin in as many steps of the stage, wherever these "
    "are. Of runs that log every step."
)


def aftermath_rows(found: Sequence[Aftermath]) -> list[dict[str, Any]]:
    """Make a row for each arm and stage of learning: the steps after an exploding gradient."""
    return [
        {
            "arm": each.arm.name,
            "stage": str(stage),
            "runs": around.runs,
            "explosions": around.explosions,
            "bursts": around.bursts,
            **columns("moved", around.moved),
            **columns("spikes_after", around.spikes),
            "spikes_in_as_many_steps": around.expected,
        }
        for each in found
        for stage, around in each.stages.items()
    ]


MEMORY = "optimizer.alpha"


def explosions_brake(evidence: Evidence) -> Iterable[Judged]:
    """Judge whether explosions make steps smaller than before, and than clipped explosions do."""
    for each in evidence.compared:
        if each.cured.cures != "clip=norm":
            continue
        for stage, free, clipped in _at_each_stage(each.plain, each.cured):
            # Not by min(): an unknown interval, NaN, must decide nothing.
            finding = finding_of(
                free.moved.high < 1 and free.moved.high < clipped.moved.low,
                free.moved.low > 1 or free.moved.low > clipped.moved.high,
            )
            numbers = f"without clipping {_describe(free)}; with it {_describe(clipped)}"
            yield Judged(f"{each.cured.name}, {stage}", finding, numbers)


def short_memory_releases(evidence: Evidence) -> Iterable[Judged]:
    """Judge whether steps after an explosion are larger with a shorter memory of RMSprop."""
    plain = [arm for arm in evidence.arms if not arm.cures and MEMORY in arm.settings]
    for short, long in permutations(plain, 2):
        memories = short.settings[MEMORY], long.settings[MEMORY]
        if short.settings_but(MEMORY) != long.settings_but(MEMORY) or memories[0] > memories[1]:
            continue
        for stage, one, other in _at_each_stage(short, long):
            finding = finding_of(one.moved.low > other.moved.high, one.moved.high < other.moved.low)
            numbers = f"{memories[0]}: {_describe(one)}; {memories[1]}: {_describe(other)}"
            yield Judged(f"{short.short_name}, {stage}", finding, numbers)


def _at_each_stage(one: Arm, other: Arm) -> Iterable[tuple[Stage, Around, Around]]:
    """Yield the aftermaths of two arms at each stage at which both have bursts."""
    found = aftermath(one), aftermath(other)
    if found[0] is None or found[1] is None:
        return
    for stage in Stage:
        if stage in found[0].stages and stage in found[1].stages:
            yield stage, found[0].stages[stage], found[1].stages[stage]


def _describe(found: Around) -> str:
    return (
        f"{within(found.moved, '{:.2f}'.format)} ({counted(found.bursts, 'burst')} in "
        f"{counted(found.runs, 'run')}; {found.spikes.value:.1f} spikes in the {AFTER} steps after "
        f"one, {found.expected:.1f} in as many steps anywhere)"
    )


MEASURED = (
    f"how far the parameters move from {SOON} to {LATE} steps after an explosion, relative to the "
    f"{BEFORE} steps before, the median over the runs; of explosions with no other in these "
    f"{BEFORE} steps, by the median loss of these: plateau {PLATEAU:g} or more, learned below "
    f"{LEARNED:g}; of runs that log every step"
)

CLAIMS = (
    Claim(
        "its mechanism",
        "An explosion puts a brake on RMSprop, which clipping takes off",
        f"{MEASURED}. Supported if without clipping it is less than before, and less than with "
        "clipping at the same stage, by intervals",
        explosions_brake,
    ),
    Claim(
        "its mechanism",
        "A shorter memory of RMSprop releases the brake sooner",
        "likewise, without clipping, of arms that differ in the memory alone: supported if it is "
        "more with the shorter one, refuted if it is less, by intervals",
        short_memory_releases,
    ),
)
