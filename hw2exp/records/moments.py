"""Write and read the tables of a run's moments: spikes, as many quiet moments, and plain steps.

A *moment* is a stretch of a run's steps: a spike, from its first to its last step; a quiet moment
of the same length, without a spike nearby; or a step from which a cure stays on.
"""

from collections.abc import Mapping
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from hw2exp.records.parquet import LARGEST_FILE, check_size, read_table
from hw2exp.records.run_dir import RunResult
from hw2exp.records.signals import SIGNALS
from hw2exp.system import disk, regular_file

if TYPE_CHECKING:
    import polars

BRANCHES_FILE, SIGNALS_FILE = "branches.parquet", "signals.parquet"
"""The files, in the folder ``WHATIF`` of a run."""


RUN = "run"
"""The name of the run's ``metrics_sha256`` in a table's metadata."""


class MomentKind(StrEnum):
    """A kind of moment."""

    SPIKE = "spike"
    QUIET = "quiet"
    STEP = "step"


class Family(StrEnum):
    """A family of interventions."""

    NORM = "clipping by norm"
    VALUE = "clipping by value"
    ZCLIP = "clipping by the norm's history"
    RATE = "learning rate"
    UPDATE = "clipping of updates"
    DATA = "data"
    MOMENTS = "second moments"
    MOMENTUM = "momentum"
    READOUT = "readout"
    OWN = "as asked"
    PLACEBO = "placebo"


class Outcome(StrEnum):
    """The outcome of a spike in a branch: the first of these that fits.

    A spike *happens* in a branch if a spike of the branch overlaps it. The branch's spikes before
    and after it are compared with the run's, from the step where the branch begins to the last step
    that both have. For a quiet moment, the outcome is found in the same way.
    """

    DIVERGES = "diverges"  # the branch turns non-finite, and the run does not, or later
    WORSE = "worse"  # it happens, and far higher than in the run
    HAPPENS = "happens"
    EARLIER = "earlier"  # it doesn't happen, but more spikes begin before than in the run
    DELAYED = "delayed"  # it doesn't, but more or higher spikes, or a divergence, come later
    PREVENTED = "prevented"


HAPPENS = Outcome.DIVERGES, Outcome.WORSE, Outcome.HAPPENS
"""The outcomes of a branch in which a spike overlaps the moment, or which diverges."""

NOTHING = "nothing"
"""The branch without an intervention: the run itself."""

LEAST_NOISE = "params~1e-6"

PLACEBOS = {
    **dict.fromkeys((Family.NORM, Family.VALUE, Family.ZCLIP), "clip=norm clip.max_norm=1e30"),
    Family.RATE: "lr*0.999",
    Family.UPDATE: "update=1e30",
    Family.MOMENTS: "optimizer.mean_square*0.999",
    Family.READOUT: "readout*0.999",
    **dict.fromkeys((Family.DATA, Family.MOMENTUM, Family.OWN), LEAST_NOISE),
    Family.PLACEBO: NOTHING,
}
"""The placebo of each kind of intervention: the same change at a dose that should do nothing, else
the smallest noise."""

MOMENT: dict[str, type] = {
    "moment": str,  # a MomentKind
    "number": int,  # the spike's number from 1; of a quiet moment, that of its spike; else 0
    "start": int,  # the moment's first step
    "end": int,  # its last step
    "stage": float,  # the running median of the loss before it
    "lead": int,  # the number of steps before the moment at which the branch begins
}
"""The columns that both tables have, with their types."""

BRANCH: dict[str, type] = {
    **MOMENT,
    "do": str,  # the intervention; ``NOTHING`` for the run itself
    "kind": str,  # a Family
    "outcome": str,  # an Outcome, of the spike in the branch or of the quiet moment
    "spikes": int,  # the number of spikes that begin in the branch
    "steps": int,  # the number of steps of the branch
    "diverged": bool,
    "test_loss": float,  # after the last step; NaN if diverged
    "test_accuracy": float,
    "solved": bool,
}
"""The columns of the table of branches: a row for each moment, lead and intervention."""

SIGNAL: dict[str, type] = {**MOMENT, **dict.fromkeys(SIGNALS, float)}
"""The columns of the table of signals: a row for each spike or quiet moment, and lead."""


def write_moments(
    path: Path,
    rows: "polars.DataFrame",
    asked: Mapping[str, str],
) -> None:
    """Write a table of moments; replace an older one atomically.

    Args:
        path: the file, in an existing folder.
        rows: the table.
        asked: the request that it answers, kept in the file's metadata; ``RUN`` is the run.
    """
    content = BytesIO()
    rows.write_parquet(content, metadata=dict(asked))
    disk.write(path, content.getvalue(), sync=False)


def read_moments(path: Path, columns: Mapping[str, type], result: RunResult) -> "polars.DataFrame":
    """Read a table of a run's moments; the file is untrusted.

    Args:
        path: the file.
        columns: the columns that it must have, with their types, some of ``MOMENT`` among them;
            others are left out.
        result: the run's result.

    Raises:
        OSError: the file can't be read.
        ValueError: the file is damaged or of another run, lacks a column, has a column of another
            type, or has spikes that are not the run's.
    """
    import polars
    from polars.exceptions import PolarsError

    def wrong(schema: "Mapping[str, polars.DataType]") -> str | None:
        for name, kind in columns.items():
            if name not in schema:
                return f"has no {name}"
            if schema[name].to_python() is not kind:
                return f"{name}: must be {kind.__name__}"
        return None

    table = read_table(path, wrong).select(*columns).drop_nulls()
    if (asked_of(path) or {}).get(RUN) != result.metrics_sha256:
        raise ValueError(f"{path}: is of another run")
    try:
        table = table.cast(polars.Schema(columns))
    except PolarsError as error:
        raise ValueError(f"{path}: {error}") from error
    spikes = {(number, each["start"]) for number, each in enumerate(result.spikes, 1)}
    own = table.filter(table["moment"] == MomentKind.SPIKE).select("number", "start")
    if not spikes.issuperset(own.rows()):
        raise ValueError(f"{path}: its spikes are not the run's")
    return table


def asked_of(path: Path) -> dict[str, str] | None:
    """Return the request that a table answers; None if there is no such table."""
    import polars
    from polars.exceptions import PanicException, PolarsError

    try:
        content = regular_file.read(path, LARGEST_FILE)
        check_size(content)
        return polars.read_parquet_metadata(BytesIO(content))
    except (OSError, ValueError, PolarsError, PanicException):
        return None
