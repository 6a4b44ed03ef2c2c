"""Claims on the published curve: its plateau, its spikes, its end."""

from collections.abc import Callable, Iterable, Sequence

from hw2exp.records.runs import Arm
from hw2exp.report.claims.claim import Claim, Finding, Judge, Judged, percent, within
from hw2exp.report.measures import SIGNIFICANT, Comparison
from hw2exp.report.published import (
    ENDING_WELL,
    ENDS_WELL,
    FALLEN,
    PLATEAU,
    SPIKE,
    SPIKING,
    Published,
    published,
)
from hw2exp.statistics import median, share

ABOUT = 1 / 3
"""How far a median may be from a number said to be about so much, as a share of it."""


def has_plateau(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Whether the loss stays at ln 4 for about as long as in the notebook."""
    for each in _plain(arms):
        found = median(each.plateau)
        near = abs(found.value - PLATEAU) <= ABOUT * PLATEAU
        told = f"median {within(found, '{:.0f}'.format)} epochs"
        yield Judged(each.arm.name, Finding.SUPPORTED if near else Finding.REFUTED, told)


def agrees(count: Callable[[Published], int], theirs: tuple[int, int]) -> Judge:
    """Whether as many runs do something as in the notebook's own program.

    Args:
        count: how many of ours do.
        theirs: how many of its runs did, and of how many.
    """

    def judge(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
        from scipy.stats import fisher_exact

        for each in _plain(arms):
            own, runs = count(each), len(each.train)
            table = [[own, runs - own], [theirs[0], theirs[1] - theirs[0]]]
            p = float(fisher_exact(table).pvalue)
            ours = share(own, runs)
            told = (
                f"{own} of {runs} ({within(ours, percent)}) against "
                f"{theirs[0]} of {theirs[1]}, p = {p:.2g}"
            )
            finding = Finding.REFUTED if p < SIGNIFICANT else Finding.SUPPORTED
            yield Judged(each.arm.name, finding, told)

    return judge


def _plain(arms: Sequence[Arm]) -> list[Published]:
    return [each for each in published(arms) if not each.arm.cures]


CLAIMS = (
    Claim(
        "the notebook",
        f"The loss stays at 1.39 for about {PLATEAU} epochs",
        f"epochs before one whose last training batch has a loss below {FALLEN}: the median over "
        f"seeds within a third of {PLATEAU}",
        has_plateau,
    ),
    Claim(
        "the notebook",
        f"In {SPIKING[0]} of {SPIKING[1]} runs an epoch's loss exceeds {SPIKE}",
        "as many of ours do: refuted if Fisher's exact test tells them apart at "
        f"{SIGNIFICANT} (16 runs tell little apart)",
        agrees(lambda each: each.spiking, SPIKING),
    ),
    Claim(
        "the notebook",
        f"{ENDING_WELL[0]} of {ENDING_WELL[1]} runs end at a test accuracy of {ENDS_WELL} or more",
        "likewise",
        agrees(lambda each: each.ending_well, ENDING_WELL),
    ),
)
