"""Make and write the report's tables."""

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw2exp.diagnostics.statistics import Estimate
from hw2exp.records.arms import Arm
from hw2exp.report.aftermath import Aftermath
from hw2exp.report.before_spikes import ArmLooks, Counted, Phase
from hw2exp.report.causes import Causes
from hw2exp.report.claims import Claim, Judged
from hw2exp.report.measures import ArmMeasures, Comparison, spikes_per_1000
from hw2exp.system import disk
from hw2exp.system.problems import show, visible

if TYPE_CHECKING:
    import polars


def runs_table(arms: Sequence[Arm]) -> "polars.DataFrame":
    """Make a row for each run: its settings and its result.

    Args:
        arms: all arms.
    """
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
                    "spikes_above_initial": sum(s["above_initial"] for s in result.spikes),
                    "spikes_per_1000": spikes_per_1000(result),
                    "parameters_sha256": result.parameters_sha256,
                    "metrics_sha256": result.metrics_sha256,
                }
            )
    return _frame(rows)


def arms_table(measured: Sequence[ArmMeasures]) -> "polars.DataFrame":
    """Make a row for each arm: each measure with the ends of its interval.

    Args:
        measured: the measures of all arms.
    """
    return _frame(
        [
            {
                "arm": each.arm.name,
                "runs": len(each.arm.runs),
                **_columns("diverged", each.diverged),
                **_columns("solved", each.solved),
                **_columns("ends_solved", each.ends_solved),
                **_columns("spikes_per_1000", each.spikes),
                **_columns("above_initial_per_1000", each.above_initial),
                **_columns("steps_to_solve_median", each.steps_to_solve),
                **_columns("test_loss_median", each.test_loss),
                **_columns("test_loss_iqm", each.test_loss_mean),
            }
            for each in measured
        ]
    )


def spikes_table(found: Sequence[Causes]) -> "polars.DataFrame":
    """Make a row for each arm that has spikes: their heights, and the explosions before them.

    Args:
        found: the causes of these arms' spikes.
    """
    rows = []
    for each in found:
        row: dict[str, Any] = {
            "arm": each.arm.name,
            "runs": len(each.arm.runs),
            "runs_with_spikes": each.spiking,
            "spikes": each.spikes,
            **_columns("above_initial", each.above_share),
        }
        if (known := each.explosions) is not None:
            row |= {
                **_columns("after_explosion", known.share),
                "steps_after_explosion": known.base,
                "p_after_explosion": known.pvalue,
                "explosions": known.steps,
                "explosions_before_spike": known.followed,
            }
        rows.append(row)
    return _frame(rows)


def comparisons_table(compared: Sequence[Comparison]) -> "polars.DataFrame":
    """Make a row for each comparison of a cure with none.

    Args:
        compared: all comparisons.
    """
    return _frame(
        [
            {
                "arm": each.cured.name,
                "against": each.plain.name,
                "seeds": each.seeds,
                **_columns("spikes_per_1000", each.spikes),
                "p_spikes": each.pvalue,
                "comparable": each.comparable,
                "verdict": each.verdict,
                **_columns("solved", each.solved),
                "p_solved": each.pvalue_solved,
                **_columns("ends_solved", each.ends_solved),
                "p_ends_solved": each.pvalue_ends_solved,
                **_columns("diverged", each.diverged),
                "p_diverged": each.pvalue_diverged,
            }
            for each in compared
        ]
    )


def aftermath_table(found: Sequence[Aftermath]) -> "polars.DataFrame":
    """Make a row for each arm and stage of learning: the steps after an exploding gradient.

    Args:
        found: the aftermaths of the arms that log every step.
    """
    return _frame(
        [
            {
                "arm": each.arm.name,
                "stage": str(stage),
                "runs": around.runs,
                "explosions": around.explosions,
                "bursts": around.bursts,
                **_columns("moved", around.moved),
                **_columns("spikes_after", around.spikes),
                "spikes_in_as_many_steps": around.expected,
            }
            for each in found
            for stage, around in each.stages.items()
        ]
    )


def claims_table(claims: Sequence[tuple[Claim, Sequence[Judged]]]) -> "polars.DataFrame":
    """Make a row for each claim and setting: the finding and its numbers.

    Args:
        claims: each claim with its findings.
    """
    return _frame(
        [
            {
                "part": claim.part,
                "claim": claim.words,
                "where": each.setting,
                "finding": str(each.finding),
                "numbers": each.numbers,
            }
            for claim, judged in claims
            for each in judged
        ]
    )


def why_table(looks: Sequence[ArmLooks]) -> "polars.DataFrame":
    """Make a row for each arm with looks: each estimate, and how many looks and runs it rests on.

    Args:
        looks: the looks of these arms.
    """
    rows = []
    for each in looks:
        found = {
            **{f"growth_{phase}": each.growth[phase] for phase in Phase},
            "unstable": each.unstable_ever,
            **{f"unstable_{phase}": each.unstable[phase] for phase in Phase},
            "lyapunov": each.lyapunov,
            "lyapunov_spread": each.lyapunov_spread,
            "lyapunov_signed": each.lyapunov_signed,
        }
        row: dict[str, Any] = {"arm": each.arm.name, "runs": each.runs, "looks": each.looks}
        for name, counted in found.items():
            row |= _counted(name, counted)
        rows.append(row)
    return _frame(rows)


def _counted(name: str, found: Counted) -> dict[str, float]:
    basis = {f"{name}_looks": found.looks, f"{name}_runs": found.runs}
    return _columns(name, found.estimate) | basis


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _frame(rows: Sequence[Mapping[str, Any]]) -> "polars.DataFrame":
    import polars

    return polars.DataFrame(rows, infer_schema_length=None)


def write_table(table: "polars.DataFrame", folder: Path, name: str) -> None:
    """Write a table as CSV and Parquet.

    Args:
        table: the table.
        folder: an existing folder.
        name: the file name without ending.
    """
    disk.write(folder / f"{name}.csv", visible(table.write_csv(), kept="\n").encode())
    content = BytesIO()
    table.write_parquet(content)
    disk.write(folder / f"{name}.parquet", content.getvalue())
