"""Judge claims on RMSprop's brake: unclipped explosions put it on, a short memory releases it."""

from collections.abc import Iterable, Sequence
from itertools import permutations

from hw2exp.records.arms import Arm
from hw2exp.report.aftermath import (
    AFTER,
    BEFORE,
    LATE,
    LEARNED,
    PLATEAU,
    SOON,
    Around,
    Stage,
    aftermath,
)
from hw2exp.report.claims.claim import Claim, Finding, Judged, within
from hw2exp.report.measures import Comparison
from hw2exp.system.problems import counted

MEMORY = "optimizer.alpha"


def explosions_brake(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Judge whether an unclipped explosion makes steps smaller than before, and than if clipped."""
    for each in compared:
        if each.cured.cures != "clip=norm":
            continue
        for stage, free, clipped in _at_each_stage(each.plain, each.cured):
            finding = Finding.UNDECIDED
            # Not by min(): an unknown interval, NaN, must decide nothing.
            if free.moved.high < 1 and free.moved.high < clipped.moved.low:
                finding = Finding.SUPPORTED
            elif free.moved.low > 1 or free.moved.low > clipped.moved.high:
                finding = Finding.REFUTED
            told = f"without clipping {_told(free)}; with it {_told(clipped)}"
            yield Judged(f"{each.cured.name}, {stage}", finding, told)


def short_memory_releases(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Judge whether steps after an explosion are larger with a shorter memory of RMSprop."""
    plain = [arm for arm in arms if not arm.cures and MEMORY in arm.settings]
    for short, long in permutations(plain, 2):
        memories = short.settings[MEMORY], long.settings[MEMORY]
        if short.settings_but(MEMORY) != long.settings_but(MEMORY) or memories[0] > memories[1]:
            continue
        for stage, one, other in _at_each_stage(short, long):
            finding = Finding.UNDECIDED
            if one.moved.low > other.moved.high:
                finding = Finding.SUPPORTED
            elif one.moved.high < other.moved.low:
                finding = Finding.REFUTED
            told = f"{memories[0]}: {_told(one)}; {memories[1]}: {_told(other)}"
            yield Judged(f"{short.short_name}, {stage}", finding, told)


def _at_each_stage(one: Arm, other: Arm) -> Iterable[tuple[Stage, Around, Around]]:
    """Yield the aftermaths of two arms at each stage at which both have bursts."""
    found = aftermath(one), aftermath(other)
    if found[0] is None or found[1] is None:
        return
    for stage in Stage:
        if stage in found[0].stages and stage in found[1].stages:
            yield stage, found[0].stages[stage], found[1].stages[stage]


def _told(found: Around) -> str:
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
