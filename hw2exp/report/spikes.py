"""Count spikes and the explosions before them; judge their cause and height (part 1.3 a, b, d)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw2exp.compare.measures import count_spikes
from hw2exp.config.groups import AnyTask
from hw2exp.diagnostics.explosions import BEFORE, FACTOR, excess_pvalue
from hw2exp.diagnostics.paired_tests import SIGNIFICANT
from hw2exp.diagnostics.shares import proportion
from hw2exp.diagnostics.statistics import Estimate, mean
from hw2exp.fleet.initial_loss import LOSS_TOLERANCE
from hw2exp.records.arms import Arm
from hw2exp.records.metrics import INITIAL_ACCURACY, INITIAL_LOSS
from hw2exp.records.run_dir import RunResult
from hw2exp.report.claim import Claim, Evidence, Finding, Judged, against_half
from hw2exp.report.tables import columns, percent, within
from hw2exp.system.problems import counted


@dataclass(frozen=True)
class Explosions:
    """Counts of an arm's spikes and exploding gradients that come soon after each other.

    Runs without spikes count too: in ``base``, and among the explosions that no spike follows.

    Args:
        after: number of spikes that begin soon after an explosion.
        share: their share of all spikes.
        base: the share of steps soon after an explosion, among steps at which a spike could begin.
        pvalue: p-value of the hypothesis that spikes begin there no more often than ``base``, see
            :func:`excess_pvalue`.
        steps: number of steps with an exploding gradient.
        followed: number of these steps that come soon before a spike.
    """

    after: int
    share: Estimate
    base: float
    pvalue: float
    steps: int
    followed: int


@dataclass(frozen=True)
class ArmSpikes:
    """The spikes of an arm.

    Args:
        arm: the arm.
        spiking: number of runs with spikes.
        spikes: number of spikes.
        above: number of spikes above the initial loss.
        above_share: their share of all spikes.
        explosions: counts of the explosions around spikes; None if an older run did not record
            them.
    """

    arm: Arm
    spiking: int
    spikes: int
    above: int
    above_share: Estimate
    explosions: Explosions | None


def causes(arm: Arm) -> ArmSpikes | None:
    """Count an arm's spikes; return None if there are none."""
    results = arm.results
    counts = [len(result.spikes) for result in results]
    if not any(counts):
        return None
    above = [count_spikes(result, "above_initial") for result in results]
    return ArmSpikes(
        arm,
        spiking=sum(count > 0 for count in counts),
        spikes=sum(counts),
        above=sum(above),
        above_share=proportion(above, counts),
        explosions=_explosions(results),
    )


def _explosions(results: Sequence[RunResult]) -> Explosions | None:
    if not all(result.explosions for result in results):
        return None
    counts = np.array([len(result.spikes) for result in results])
    after = np.array([count_spikes(result, "after_explosion") for result in results])
    watched, soon, steps, followed = (
        np.array([result.explosions[key] for result in results])
        for key in ("watched", "soon_after", "steps", "followed")
    )
    return Explosions(
        after=int(after.sum()),
        share=proportion(after, counts),
        base=float(soon.sum() / max(watched.sum(), 1)),
        pvalue=excess_pvalue(after, counts, soon / np.maximum(watched, 1)),
        steps=int(steps.sum()),
        followed=int(followed.sum()),
    )


def spike_rows(found: Sequence[ArmSpikes]) -> list[dict[str, Any]]:
    """Make a row for each arm that has spikes: their heights, and the explosions before them."""
    rows = []
    for each in found:
        row: dict[str, Any] = {
            "arm": each.arm.name,
            "runs": len(each.arm.runs),
            "runs_with_spikes": each.spiking,
            "spikes": each.spikes,
            **columns("above_initial", each.above_share),
        }
        if (known := each.explosions) is not None:
            row |= {
                **columns("after_explosion", known.share),
                "steps_after_explosion": known.base,
                "p_after_explosion": known.pvalue,
                "explosions": known.steps,
                "explosions_before_spike": known.followed,
            }
        rows.append(row)
    return rows


ACCURACY_WITHIN = 0.01

FEWEST = 10
"""Least spikes of an arm for a decision."""


def initial_values(evidence: Evidence) -> Iterable[Judged]:
    """Judge whether every run's loss starts at ln 4, and the mean accuracy at 0.25."""
    ours = [arm for arm in evidence.arms if arm.config.task.classes == AnyTask.classes]
    starts = [result.initial for arm in ours for result in arm.results]
    if not starts:
        return
    losses = np.array([start["loss"] for start in starts])
    accuracy = mean([start["accuracy"] for start in starts])
    near = int((np.abs(losses - INITIAL_LOSS) <= LOSS_TOLERANCE).sum())
    numbers = (
        f"{near} of {counted(len(losses), 'run')} within {LOSS_TOLERANCE} of ln 4 (median "
        f"{np.median(losses):.4f}); accuracy {within(accuracy, '{:.3f}'.format)}"
    )
    right = near == len(losses) and abs(accuracy.value - INITIAL_ACCURACY) < ACCURACY_WITHIN
    yield Judged("", Finding.SUPPORTED if right else Finding.REFUTED, numbers)


def spikes_exceed(evidence: Evidence) -> Iterable[Judged]:
    """Judge whether most spikes of runs without cures exceed the initial loss."""
    for found in _plain(evidence.arms):
        share = found.above_share
        numbers = f"{found.above} of {counted(found.spikes, 'spike')}: {within(share, percent)}"
        most = against_half(share)
        finding = most if found.spikes >= FEWEST else Finding.UNDECIDED
        yield Judged(found.arm.short_name, finding, numbers)


def spikes_after_explosions(evidence: Evidence) -> Iterable[Judged]:
    """Judge whether most spikes of runs without cures begin soon after exploding gradients."""
    for found in _plain(evidence.arms):
        each = found.explosions
        if each is None:
            continue
        numbers = (
            f"{each.after} of {counted(found.spikes, 'spike')}: {within(each.share, percent)}, and "
            f"{100 * each.base:.1f} % of all steps (p = {each.pvalue:.2g}); {each.followed:,} of "
            f"{counted(each.steps, 'explosion')} before a spike"
        )
        most = against_half(each.share)
        decided = found.spikes >= FEWEST and (each.pvalue < SIGNIFICANT or most is Finding.REFUTED)
        yield Judged(found.arm.short_name, most if decided else Finding.UNDECIDED, numbers)


def _plain(arms: Sequence[Arm]) -> Iterable[ArmSpikes]:
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
