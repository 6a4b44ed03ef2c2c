"""Measure each arm, and compare each cure with none on the same seeds."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hw2exp.diagnostics.statistics import (
    Estimate,
    Survival,
    adjusted,
    interquartile_mean,
    mean_difference,
    median,
    paired_pvalues,
    rate,
    share,
    survival,
)
from hw2exp.records.arms import Arm, Run
from hw2exp.records.run_dir import RunResult

PER = 1_000
"""Steps per which spikes are counted."""
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class ArmMeasures:
    """The measures of an arm.

    Args:
        arm: the arm.
        diverged: the share of runs that turned non-finite.
        solved: the share of runs that solved the task at some time.
        ends_solved: the share of runs that solved the task and still do at the end.
        spikes: spikes per 1,000 steps.
        above_initial: spikes above the initial loss, per 1,000 steps.
        steps_to_solve: the median number of steps, where unsolved runs count.
        unsolved: the share of runs that have not solved the task yet, step by step.
        test_loss: the median of the final test loss.
        test_loss_mean: the interquartile mean of the final test loss.
    """

    arm: Arm
    diverged: Estimate
    solved: Estimate
    ends_solved: Estimate
    spikes: Estimate
    above_initial: Estimate
    steps_to_solve: Estimate
    unsolved: Survival
    test_loss: Estimate
    test_loss_mean: Estimate


def measure(arm: Arm) -> ArmMeasures:
    """Measure an arm.

    Args:
        arm: the arm.
    """
    results = arm.results
    steps = [result.step for result in results]
    unsolved = survival(
        [_watched_until(run) for run in arm.runs.values()],
        [result.solved_at is not None for result in results],
    )
    losses = [result.final_or("test_loss", math.inf) for result in results]
    return ArmMeasures(
        arm,
        diverged=share(sum(r.diverged_at is not None for r in results), len(results)),
        solved=share(sum(r.solved_at is not None for r in results), len(results)),
        ends_solved=share(sum(bool(r.ends_solved) for r in results), len(results)),
        spikes=_per_1000([len(r.spikes) for r in results], steps),
        above_initial=_per_1000([_above(r) for r in results], steps),
        steps_to_solve=unsolved.median(),
        unsolved=unsolved,
        test_loss=median(losses),
        test_loss_mean=interquartile_mean(losses),
    )


def spikes_per_1000(result: RunResult) -> float:
    """Return the number of spikes per 1,000 steps of a run.

    Args:
        result: the run's result.
    """
    return PER * len(result.spikes) / result.step


def _above(result: RunResult) -> int:
    return sum(bool(spike["above_initial"]) for spike in result.spikes)


def _per_1000(counts: Sequence[int], steps: Sequence[int]) -> Estimate:
    return rate(counts, [step / PER for step in steps])


def _watched_until(run: Run) -> int:
    """Return the step at which a run solved the task, or the last at which it is known unsolved.

    A diverged run won't solve the task, so it counts as unsolved to the end of its config's steps.
    """
    if run.result.solved_at is not None:
        return run.result.solved_at
    return run.config.steps if run.result.diverged_at is not None else run.result.step


@dataclass(frozen=True)
class Comparison:
    """A comparison of a cure with none on the same seeds: means of the paired differences.

    Args:
        cured: the arm with the cure.
        plain: the arm without.
        seeds: number of seeds that both arms have.
        spikes: difference in spikes per 1,000 steps.
        solved: difference in the share of runs that solved the task at some time.
        ends_solved: difference in the share of runs that end solved.
        diverged: difference in the share of runs that diverged.
        pvalue: p-value of ``spikes`` being zero, corrected for the number of comparisons.
        pvalue_solved: the same for ``solved``.
        pvalue_ends_solved: the same for ``ends_solved``.
        pvalue_diverged: the same for ``diverged``.
        comparable: the shares of diverged runs don't differ, by the p-value of ``diverged``
            without the correction: this is a condition for comparing spikes, not a finding.
    """

    cured: Arm
    plain: Arm
    seeds: int
    spikes: Estimate
    solved: Estimate
    ends_solved: Estimate
    diverged: Estimate
    pvalue: float
    pvalue_solved: float
    pvalue_ends_solved: float
    pvalue_diverged: float
    comparable: bool

    @property
    def own_rate(self) -> bool:
        """Return whether the two arms differ in the learning rate."""
        return self.cured.rate != self.plain.rate

    @property
    def verdict(self) -> str:
        """Return the cure's effect on divergence, or else on the number of spikes.

        A run that diverges early has few spikes, so spikes decide nothing where more runs diverge
        on one side, or may do so. Every table, figure and sentence follows this rule.
        """
        if self.pvalue_diverged < SIGNIFICANT:
            return "fewer diverge" if self.diverged.value < 0 else "more diverge"
        if not self.comparable or not self.pvalue < SIGNIFICANT:
            return "undecided"
        return "fewer" if self.spikes.value < 0 else "more"


def compare(pairs: Sequence[tuple[Arm, Arm]]) -> list[Comparison]:
    """Compare arms on the seeds that they share; leave out pairs that share fewer than two.

    Args:
        pairs: pairs of an arm with a cure and an arm without.
    """
    both = [
        (cured, plain, seeds)
        for cured, plain in pairs
        if len(seeds := [seed for seed in cured.runs if seed in plain.runs]) > 1
    ]
    differences = {
        name: [_paired(cured, plain, seeds, of_run) for cured, plain, seeds in both]
        for name, of_run in COMPARED.items()
    }
    pvalues = {name: paired_pvalues(each) for name, each in differences.items()}
    corrected = {name: adjusted(each) for name, each in pvalues.items()}

    def estimate(name: str, place: int) -> Estimate:
        return mean_difference(differences[name][place], _unit(name, both[place][0]))

    return [
        Comparison(
            cured,
            plain,
            len(seeds),
            spikes=estimate("spikes", n),
            solved=estimate("solved", n),
            ends_solved=estimate("ends_solved", n),
            diverged=estimate("diverged", n),
            pvalue=corrected["spikes"][n],
            pvalue_solved=corrected["solved"][n],
            pvalue_ends_solved=corrected["ends_solved"][n],
            pvalue_diverged=corrected["diverged"][n],
            comparable=pvalues["diverged"][n] >= SIGNIFICANT,
        )
        for n, (cured, plain, seeds) in enumerate(both)
    ]


COMPARED: Mapping[str, Callable[[RunResult], float]] = {
    "spikes": spikes_per_1000,
    "solved": lambda result: float(result.solved_at is not None),
    "ends_solved": lambda result: float(bool(result.ends_solved)),
    "diverged": lambda result: float(result.diverged_at is not None),
}
"""The quantity compared between the two runs of a seed, by the field of a comparison."""


def _paired(
    cured: Arm, plain: Arm, seeds: Sequence[int], of_run: Callable[[RunResult], float]
) -> list[float]:
    return [of_run(cured.runs[seed].result) - of_run(plain.runs[seed].result) for seed in seeds]


def _unit(name: str, arm: Arm) -> float:
    """Return the smallest difference of two runs: one spike in all steps, or one yes against no."""
    steps = max(result.step for result in arm.results)
    return PER / steps if name == "spikes" else 1.0
