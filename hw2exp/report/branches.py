"""Read the tables of branches that ``python -m hw2exp.whatif`` has written into run folders."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hw2exp.config.run_files import WHATIF
from hw2exp.records.arms import Arm, Run
from hw2exp.records.moments import (
    BRANCH,
    BRANCHES_FILE,
    HAPPENS,
    NOTHING,
    Family,
    MomentKind,
    Outcome,
    read_moments,
)
from hw2exp.system.problems import counted

if TYPE_CHECKING:
    import polars

SEED = "seed"
"""The column of a run's seed."""

BRANCH_OF = "moment", "number", "start", "lead", "do"
"""The columns that identify a branch of a run."""


@dataclass(frozen=True)
class ArmBranches:
    """The branches of an arm's runs.

    Args:
        arm: the arm.
        branches: a row for each branch, with the columns of ``BRANCH`` and ``SEED``.
    """

    arm: Arm
    branches: "polars.DataFrame"


def read_tried(arms: Sequence[Arm]) -> tuple[list[ArmBranches], list[str]]:
    """Read the branches of all runs that have some.

    Returns:
        The branches of each arm that has some, and a line if some were left out.
    """
    import polars

    found: list[ArmBranches] = []
    left_out = 0
    for arm in arms:
        own = []
        for seed, run in arm.runs.items():
            if not os.path.lexists(run.folder / WHATIF / BRANCHES_FILE):
                continue
            try:
                own.append(_of(run).with_columns(polars.lit(seed, polars.Int64).alias(SEED)))
            except (OSError, ValueError):
                left_out += 1
        if own:
            found.append(ArmBranches(arm, polars.concat(own)))
    why = "can't be read, or not of this run"
    return found, [f"branches of {counted(left_out, 'run')} left out: {why}"] * bool(left_out)


def _of(run: Run) -> "polars.DataFrame":
    """Read a run's branches; raise ValueError if they don't fit the run, or each other."""
    import polars

    path = run.folder / WHATIF / BRANCHES_FILE
    frame = read_moments(path, BRANCH, run.result)
    col = polars.col
    spike, itself = col("moment") == MomentKind.SPIKE, col("do") == NOTHING
    right = (
        col("moment").is_in(list(MomentKind))
        & col("kind").is_in(list(Family))
        & col("outcome").is_in(list(Outcome))
        & col("start").is_between(1, run.result.step)
        & (col("lead") >= 0)
        & (col("spikes") >= 0)
        & (col("steps") >= 0)
        & (~itself | (col("outcome").is_in(HAPPENS) == spike) | (col("moment") == MomentKind.STEP))
    )
    branches = frame.select(BRANCH_OF)
    if (
        not frame.select(right.all()).item()
        or branches.is_duplicated().any()
        or frame.filter(itself).height != branches.drop("do").n_unique()
    ):
        raise ValueError("the branches are not those of the run")
    return frame
