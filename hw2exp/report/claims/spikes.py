"""Claims on where runs start, what spikes come after, and how high they are (part 1.3 a, b, d)."""

from collections.abc import Iterable, Sequence

import numpy as np

from hw2exp.config.problems import counted
from hw2exp.diagnostics.explosions import BEFORE, FACTOR
from hw2exp.records.run_dir import RunResult
from hw2exp.records.runs import Arm
from hw2exp.report.claims.claim import Claim, Finding, Judged, against_half, interval, percent
from hw2exp.report.measures import SIGNIFICANT, Comparison
from hw2exp.statistics import mean, paired_pvalue, rate
from hw2exp.training import INITIAL_ACCURACY, INITIAL_LOSS, LOSS_TOLERANCE

ACCURACY_WITHIN = 0.01
FEWEST = 10
"""Spikes of an arm, of which fewer decide nothing: a bootstrap of two spikes has no width."""


def initial_values(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Whether every run starts at ln 4, and their accuracy at 0.25."""
    starts = [result.initial for arm in arms for result in arm.results]
    losses = np.array([start["loss"] for start in starts])
    accuracy = mean([start["accuracy"] for start in starts])
    near = int((np.abs(losses - INITIAL_LOSS) <= LOSS_TOLERANCE).sum())
    told = (
        f"{near} of {counted(len(losses), 'run')} within {LOSS_TOLERANCE} of ln 4 (median "
        f"{np.median(losses):.4f}); accuracy {accuracy.value:.3f}"
        f"{interval(accuracy, '{:.3f}'.format)}"
    )
    right = near == len(losses) and abs(accuracy.value - INITIAL_ACCURACY) < ACCURACY_WITHIN
    yield Judged("", Finding.SUPPORTED if right else Finding.REFUTED, told)


def spikes_exceed(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Whether most spikes of runs without cures exceed the loss that training started with."""
    for arm, results in _spiking(arms):
        above = [sum(spike["above_initial"] for spike in result.spikes) for result in results]
        counts = [len(result.spikes) for result in results]
        estimate = rate(above, counts)
        told = (
            f"{sum(above)} of {counted(sum(counts), 'spike')}: "
            f"{percent(estimate.value)}{interval(estimate, percent)}"
        )
        most = against_half(estimate.low, estimate.high)
        yield Judged(arm.short_name, most if sum(counts) >= FEWEST else Finding.UNDECIDED, told)


def spikes_after_explosions(
    arms: Sequence[Arm], compared: Sequence[Comparison]
) -> Iterable[Judged]:
    """Whether spikes of runs without cures begin soon after exploding gradients."""
    for arm, spiking in _spiking(arms):
        results = [result for result in spiking if result.explosions.get("watched")]
        if not results:
            continue
        after = [sum(spike["after_explosion"] for spike in result.spikes) for result in results]
        counts = [len(result.spikes) for result in results]
        of_each = np.array(after) / counts
        watched = np.array([result.explosions["watched"] for result in results])
        base = np.array([result.explosions["soon_after"] for result in results]) / watched
        p = paired_pvalue(of_each - base, "greater") if len(results) > 1 else 1.0
        estimate = rate(after, counts)
        exploded, followed = (
            sum(result.explosions[key] for result in results) for key in ("steps", "followed")
        )
        told = (
            f"{sum(after)} of {counted(sum(counts), 'spike')}: {percent(estimate.value)}"
            f"{interval(estimate, percent)}, and {percent(base.mean())} of all steps "
            f"(p = {p:.2g}); {followed:,} of {counted(exploded, 'explosion')} before a spike"
        )
        most = against_half(estimate.low, estimate.high)
        decided = sum(counts) >= FEWEST and (p < SIGNIFICANT or most is Finding.REFUTED)
        yield Judged(arm.short_name, most if decided else Finding.UNDECIDED, told)


def _spiking(arms: Sequence[Arm]) -> Iterable[tuple[Arm, list[RunResult]]]:
    """The arms without cures that have spikes, and the runs that have them."""
    for arm in arms:
        results = [result for result in arm.results if result.spikes]
        if results and not arm.cures:
            yield arm, results


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
        "bootstrap interval over runs, and more than of all steps at which a spike could begin, by "
        f"turning the signs of the runs' differences, at {SIGNIFICANT}; refuted if less than half; "
        f"of {FEWEST} spikes or more",
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
