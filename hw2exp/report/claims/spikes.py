"""Judge claims on initial values, and on the cause and height of spikes (part 1.3 a, b, d)."""

from collections.abc import Iterable, Sequence

import numpy as np

from hw2exp.diagnostics.explosions import BEFORE, FACTOR
from hw2exp.diagnostics.statistics import mean
from hw2exp.fleet.loop import LOSS_TOLERANCE
from hw2exp.records.arms import Arm
from hw2exp.records.metrics import INITIAL_ACCURACY, INITIAL_LOSS
from hw2exp.report.causes import Causes, causes
from hw2exp.report.claims.claim import (
    Claim,
    Finding,
    Judged,
    against_half,
    percent,
    within,
)
from hw2exp.report.measures import SIGNIFICANT, Comparison
from hw2exp.system.problems import counted

ACCURACY_WITHIN = 0.01
FEWEST = 10
"""Least spikes of an arm for a decision."""


def initial_values(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Judge whether every run's loss starts at ln 4, and the mean accuracy at 0.25."""
    starts = [result.initial for arm in arms for result in arm.results]
    losses = np.array([start["loss"] for start in starts])
    accuracy = mean([start["accuracy"] for start in starts])
    near = int((np.abs(losses - INITIAL_LOSS) <= LOSS_TOLERANCE).sum())
    told = (
        f"{near} of {counted(len(losses), 'run')} within {LOSS_TOLERANCE} of ln 4 (median "
        f"{np.median(losses):.4f}); accuracy {within(accuracy, '{:.3f}'.format)}"
    )
    right = near == len(losses) and abs(accuracy.value - INITIAL_ACCURACY) < ACCURACY_WITHIN
    yield Judged("", Finding.SUPPORTED if right else Finding.REFUTED, told)


def spikes_exceed(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Judge whether most spikes of runs without cures exceed the initial loss."""
    for found in _plain(arms):
        share = found.above_share
        told = f"{found.above} of {counted(found.spikes, 'spike')}: {within(share, percent)}"
        most = against_half(share.low, share.high)
        finding = most if found.spikes >= FEWEST else Finding.UNDECIDED
        yield Judged(found.arm.short_name, finding, told)


def spikes_after_explosions(
    arms: Sequence[Arm], compared: Sequence[Comparison]
) -> Iterable[Judged]:
    """Judge whether most spikes of runs without cures begin soon after exploding gradients."""
    for found in _plain(arms):
        each = found.explosions
        if each is None:
            continue
        told = (
            f"{each.after} of {counted(found.spikes, 'spike')}: {within(each.share, percent)}, and "
            f"{100 * each.base:.1f} % of all steps (p = {each.pvalue:.2g}); {each.followed:,} of "
            f"{counted(each.steps, 'explosion')} before a spike"
        )
        most = against_half(each.share.low, each.share.high)
        decided = found.spikes >= FEWEST and (each.pvalue < SIGNIFICANT or most is Finding.REFUTED)
        yield Judged(found.arm.short_name, most if decided else Finding.UNDECIDED, told)


def _plain(arms: Sequence[Arm]) -> Iterable[Causes]:
    """Return the counts of spikes of each arm without cures that has some."""
    return (found for arm in arms if not arm.cures and (found := causes(arm)))


CLAIMS = (
    Claim(
        "1.3 (d)",
        "Loss and accuracy start from around 1.39 and around 0.25",
        f"every run's initial loss within {LOSS_TOLERANCE} of ln 4, the mean accuracy within "
        f"{ACCURACY_WITHIN} of 0.25",
        initial_values,
    ),
    Claim(
        "1.3 (a)",
        "The spikes come from exploding gradients",
        f"the share of spikes of runs without cures that begin at most {BEFORE} steps after a "
        f"gradient whose norm exceeds {FACTOR:g} times its running median: more than half, by a "
        "bootstrap interval over runs, and more than of all steps of all runs at which a spike "
        f"could begin, by turning the signs of the runs' differences, at {SIGNIFICANT}; refuted if "
        f"less than half; of {FEWEST} spikes or more. Explosions are those of all runs",
        spikes_after_explosions,
    ),
    Claim(
        "1.3 (b)",
        "The loss is also higher than the initial one",
        "the share of spikes of runs without cures that exceed the initial loss: more than half, "
        f"by a bootstrap interval over runs; refuted if less than half; of {FEWEST} spikes or more",
        spikes_exceed,
    ),
)
