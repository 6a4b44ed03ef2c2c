"""Measure each arm."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hw2exp.compare.measures import PER, count_spikes, score_of, spikes_per_1000, watched_until
from hw2exp.diagnostics.shares import proportion, share
from hw2exp.diagnostics.statistics import (
    UNKNOWN,
    Estimate,
    interquartile_mean,
    median,
    rate,
)
from hw2exp.diagnostics.survival import Survival, survival
from hw2exp.records.arms import Arm
from hw2exp.report.tables import cell, columns, number, percent, plain, small_percent, steps
from hw2exp.system.problems import show


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
        steps_to_solve: the median number of steps to solve the task, infinite if fewer than half
            of the runs do so; unsolved runs count.
        unsolved: the share of runs that have not solved the task yet, step by step.
        test_loss: the median of the final test loss.
        test_loss_mean: the interquartile mean of the final test loss.
        spike_score: the share of outliers among the training losses, see
            :mod:`hw2exp.diagnostics.spike_score`; unknown until :func:`with_scores`.
        grad_spike_score: the same of the gradient norms.
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
    spike_score: Estimate = UNKNOWN
    grad_spike_score: Estimate = UNKNOWN


def measure(arm: Arm) -> ArmMeasures:
    """Return the measures of an arm, without its spike scores."""
    results = arm.results
    steps = [result.step for result in results]
    unsolved = survival(
        [watched_until(run) for run in arm.runs.values()],
        [result.solved_at is not None for result in results],
    )
    losses = [result.final_or("test_loss", math.inf) for result in results]
    return ArmMeasures(
        arm,
        diverged=share(sum(r.diverged_at is not None for r in results), len(results)),
        solved=share(sum(r.solved_at is not None for r in results), len(results)),
        ends_solved=share(sum(bool(r.ends_solved) for r in results), len(results)),
        spikes=_per_1000([len(r.spikes) for r in results], steps),
        above_initial=_per_1000([count_spikes(r, "above_initial") for r in results], steps),
        steps_to_solve=unsolved.median(),
        unsolved=unsolved,
        test_loss=median(losses),
        test_loss_mean=interquartile_mean(losses),
    )


def with_scores(measured: ArmMeasures) -> ArmMeasures:
    """Return the measures of an arm with its spike scores; this reads every run's metrics."""
    return replace(
        measured,
        spike_score=_score(measured.arm, "loss_train"),
        grad_spike_score=_score(measured.arm, "grad_norm_raw"),
    )


def _score(arm: Arm, metric: str) -> Estimate:
    found = [score_of(run, metric) for run in arm.runs.values()]
    return proportion([each.outliers for each in found], [each.judged for each in found])


def _per_1000(counts: Sequence[int], steps: Sequence[int]) -> Estimate:
    return rate(counts, [step / PER for step in steps])


def run_rows(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """Make a row for each run: its settings and its result."""
    rows = []
    for arm in arms:
        for seed, run in arm.runs.items():
            result = run.result
            rows.append(
                {
                    "arm": arm.name,
                    **{key: show(value) for key, value in arm.settings.items()},
                    "seed": seed,
                    "status": result.status,
                    "step": result.step,
                    "diverged_at": result.diverged_at,
                    "solved_at": result.solved_at,
                    "ends_solved": result.ends_solved,
                    "initial_loss": result.initial["loss"],
                    "final_test_loss": result.final_or("test_loss", math.inf),
                    "final_test_accuracy": result.final["test_accuracy"],
                    "spikes": len(result.spikes),
                    "spikes_above_initial": count_spikes(result, "above_initial"),
                    "spikes_per_1000": spikes_per_1000(result),
                    "parameters_sha256": result.parameters_sha256,
                    "metrics_sha256": result.metrics_sha256,
                }
            )
    return rows


def arm_rows(measured: Sequence[ArmMeasures]) -> list[dict[str, Any]]:
    """Make a row for each arm: each measure with the ends of its interval."""
    return [
        {"arm": each.arm.name, "runs": len(each.arm.runs)}
        | {
            column: value
            for field, (name, _, _) in SHOWN.items()
            for column, value in columns(name, getattr(each, field)).items()
        }
        for each in measured
    ]


SHOWN: Mapping[str, tuple[str, str, Callable[[float], str]]] = {
    "diverged": ("diverged", "diverged", percent),
    "solved": ("solved", "solved", percent),
    "ends_solved": ("ends_solved", "ends solved", percent),
    "spikes": ("spikes_per_1000", "spikes per 1,000 steps", number),
    "above_initial": ("above_initial_per_1000", "above the initial loss", number),
    "steps_to_solve": ("steps_to_solve_median", "steps to solve, median", steps),
    "test_loss": ("test_loss_median", "test loss, median", number),
    "test_loss_mean": ("test_loss_iqm", "test loss, interquartile mean", number),
    "spike_score": ("spike_score", "spike score", small_percent),
    "grad_spike_score": ("grad_spike_score", "spike score, gradient norm", small_percent),
}
"""The estimates of an arm: the column in the table, the heading on the page, the format."""

HEADINGS = ("runs", *(heading for _, heading, _ in SHOWN.values()))


def arm_cells(each: ArmMeasures) -> list[dict[str, Any]]:
    """Return an arm's cells on the page, in the order of ``HEADINGS``."""
    estimates = [cell(getattr(each, field), written) for field, (_, _, written) in SHOWN.items()]
    return [plain(len(each.arm.runs)), *estimates]
