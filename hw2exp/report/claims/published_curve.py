"""Judge claims on the published curve: its plateau, its spikes, its end."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from hw2exp.diagnostics.statistics import median, share
from hw2exp.records.arms import Arm
from hw2exp.report.claims.claim import Claim, Finding, Judge, Judged, percent, within
from hw2exp.report.measures import SIGNIFICANT, Comparison
from hw2exp.report.published import (
    ENDING_WELL,
    ENDS_WELL,
    FALLEN,
    PLATEAUS,
    SPIKE,
    SPIKING,
    Published,
    published,
)


def same_plateau(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Judge whether the loss stays at ln 4 for as long as in the reference runs."""
    from scipy.stats import mannwhitneyu

    for each in _plain(arms):
        found = median(each.plateau)
        p = float(mannwhitneyu(each.plateau, PLATEAUS).pvalue)
        told = (
            f"median {within(found, '{:.0f}'.format)} epochs against {np.median(PLATEAUS):g}, "
            f"p = {p:.2g}"
        )
        yield Judged(each.arm.name, Finding.REFUTED if p < SIGNIFICANT else Finding.SUPPORTED, told)


def agrees(count: Callable[[Published], int], theirs: tuple[int, int]) -> Judge:
    """Return the judge of whether as many runs have a property as in the reference runs.

    Args:
        count: the function that counts an arm's runs with the property.
        theirs: the number of reference runs with the property, and of all reference runs.
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
        f"The loss stays at 1.39 for {np.median(PLATEAUS):g} epochs in the median, as with torch",
        f"epochs before one whose last training batch has a loss below {FALLEN}: refuted if the "
        f"Mann–Whitney test tells ours from those of {len(PLATEAUS)} runs by torch's own modules "
        f"at {SIGNIFICANT}",
        same_plateau,
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
