"""The claim that an unclipped explosion puts a brake on RMSprop, which clipping takes off."""

from collections.abc import Iterable, Sequence

from hw2exp.config.problems import counted
from hw2exp.records.runs import Arm
from hw2exp.report.aftermath import LATE, SOON, Aftermath, aftermath
from hw2exp.report.claims.claim import Claim, Finding, Judged, interval
from hw2exp.report.measures import Comparison


def explosions_brake(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Whether steps are smaller after an explosion without clipping, and not so with it."""
    for each in compared:
        if each.cured.cures != "clip=norm":
            continue
        free, clipped = aftermath(each.plain), aftermath(each.cured)
        if free is None or clipped is None:
            continue
        without, within = free.brake(), clipped.brake()
        finding = Finding.UNDECIDED
        if without.high < min(1, within.low):
            finding = Finding.SUPPORTED
        elif without.low > min(1, within.high):
            finding = Finding.REFUTED
        told = f"without clipping {_told(free)}, with it {_told(clipped)}"
        yield Judged(each.cured.name, finding, told)


def _told(found: Aftermath) -> str:
    left = found.brake()
    return (
        f"{left.value:.2g}{interval(left, '{:.2g}'.format)} of it is left "
        f"({counted(found.events, 'explosion')} in {counted(found.runs, 'run')}, each followed by "
        f"{found.spikes[-1]:.2g} spikes)"
    )


CLAIMS = (
    Claim(
        "its mechanism",
        "An explosion puts a brake on RMSprop, which clipping takes off",
        f"how far the parameters move from {SOON} to {LATE} steps after an explosion, relative to "
        "before, the median over runs: supported if without clipping it is less than before, and "
        "less than with clipping, by intervals; of runs that log every step",
        explosions_brake,
    ),
)
