"""Train a fleet with packed records in a worker."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw2exp.config.axes import Data, with_data
from hw2exp.config.validation import validate
from hw2exp.records.packed_fleet import write_fleet
from hw2exp.runs.packed_run import run_packed
from hw2exp.sweeps.progress import Progress, ProgressWriter, ended
from hw2exp.system.interrupt import Interrupt


@dataclass(frozen=True)
class PackedFleet:
    """The runs of a fleet with packed records.

    Args:
        folder: the folder of the records.
        values: the plain values of the config that the runs share, except for their data.
        numbers: the numbers of the jobs, in rising order.
        data: the data of each job by key.
        swept: the swept values of the jobs by key.
    """

    folder: Path
    values: Mapping[str, Any]
    numbers: Sequence[int]
    data: Sequence[Data]
    swept: Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class PackedEnd:
    """The end of a fleet with packed records.

    Args:
        progress: its last progress; None if it was interrupted, and left nothing.
        failed: the error of each job that could not train, by number.
    """

    progress: Progress | None
    failed: Mapping[int, Exception]


def train_packed(
    progress: Path,
    fleet: PackedFleet,
    interrupt: Interrupt | None = None,
    worker: str = "",
    **of_cluster: Any,
) -> PackedEnd:
    """Train a fleet, and write its records once all its runs have ended.

    Args:
        progress: the progress file.
        fleet: the fleet.
        interrupt: the interrupt that asks to end; by default, by signals to this process.
        worker: the name of machine and process, for the progress.
        of_cluster: further arguments that a cluster passes to each task; they are not used here.
    """
    base = validate(fleet.values)
    configs = [with_data(base, own) for own in fleet.data]
    own = Interrupt([signal.SIGTERM], insist=False, leave=None)
    with interrupt or own as interrupt:
        done = run_packed(configs, lambda f: ProgressWriter(f, progress, worker), interrupt)
    if done is None:
        return PackedEnd(None, {})
    runs, failed = done
    places = sorted(runs)
    if places:
        write_fleet(
            fleet.folder,
            [fleet.numbers[place] for place in places],
            {key: [values[place] for place in places] for key, values in fleet.swept.items()},
            [runs[place] for place in places],
        )
    return PackedEnd(
        ended([run.result for run in runs.values()]),
        {fleet.numbers[place]: error for place, error in failed.items()},
    )
