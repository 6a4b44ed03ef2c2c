"""Write a TensorBoard run for every arm of a sweep: median and quartiles of the arm's runs."""

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hw2exp.config.run_files import ARMS, EVENTS, METRICS
from hw2exp.diagnostics.statistics import quartiles
from hw2exp.records.layout import ARM, RUNS_TAG, quartile_tags
from hw2exp.records.metrics import CATALOG, read_metrics
from hw2exp.records.step_table import STEP
from hw2exp.records.tensorboard import EventWriter
from hw2exp.sweeps.arms import SweptArm, arms_of, ended, summary
from hw2exp.sweeps.job_outcome import JobOutcome
from hw2exp.system import disk
from hw2exp.system.interrupt import NEVER, Interrupt
from hw2exp.system.process import cant_write
from hw2exp.system.terminal import warn

if TYPE_CHECKING:
    import polars

Floats = NDArray[np.float64]

LONGEST = 120
"""Longest name of an arm's folder, in characters; names of arms with many knobs are cut."""


def metrics_of(each: JobOutcome) -> "polars.DataFrame":
    """Read the metrics in a job's folder."""
    return read_metrics(each.job.folder / METRICS)


def write_arms(
    folder: Path,
    jobs: Sequence[JobOutcome],
    interrupt: Interrupt = NEVER,
    read: "Callable[[JobOutcome], polars.DataFrame]" = metrics_of,
) -> None:
    """Write a TensorBoard run for every arm with two or more ended runs.

    Only warn if the files can't be written: the runs are worth more than their summary. After a
    signal, skip the rest.

    Args:
        folder: the folder of the sweep.
        jobs: the jobs of the sweep with their outcomes.
        interrupt: the interrupt, polled before each arm.
        read: the function that reads a job's metrics.
    """
    inside = Path(os.path.abspath(folder / ARMS))
    if any(inside in each.job.folder.absolute().parents for each in jobs):  # runs use the name
        return
    taken: set[str] = set()
    try:
        for arm in arms_of(jobs):
            if interrupt():
                return
            _write_arm(folder / ARMS, arm, taken, read)
    except OSError as error:
        warn(cant_write(error))


def remove_arms(folder: Path) -> None:
    """Remove the files of :func:`write_arms`, and nothing else."""
    arms = folder / ARMS
    if arms.is_symlink():
        disk.remove(arms)
    if not arms.is_dir():
        return
    below = list(arms.iterdir())
    ours = [path for path in below if path.is_symlink() or _holds_only_events(path)]
    for path in [arms] if len(ours) == len(below) else ours:
        disk.remove(path)


def _holds_only_events(path: Path) -> bool:
    return path.is_dir() and all(each.match(EVENTS) for each in path.iterdir())


def _frames(
    runs: Sequence[JobOutcome], read: "Callable[[JobOutcome], polars.DataFrame]"
) -> "list[polars.DataFrame]":
    """Read the metrics of runs; skip unreadable ones, which the report will name."""
    frames = []
    for run in runs:
        try:
            frames.append(read(run))
        except (OSError, ValueError):
            continue
    return frames


def _folder_name(arm: str, taken: set[str]) -> str:
    """Return an unused folder name for an arm, and add it to the taken names."""
    name = re.sub(r"[^\w.,=+-]+", "_", arm.replace(" ", ",")).lstrip(".")[:LONGEST]
    own, count = name, 1
    while own.casefold() in taken:
        count += 1
        own = f"{name}_{count}"
    taken.add(own.casefold())
    return own


def _text(arm: SweptArm, counted: int) -> str:
    """Describe an arm and the outcomes of its runs in Markdown."""
    statuses = Counter(each.status if ended(each) else "missing" for each in arm.outcomes)
    rows = {
        **summary(arm.outcomes, quartiles=True),
        "statuses": ", ".join(f"{count} {status}" for status, count in statuses.most_common()),
        "in the curves": f"{counted} runs, each until it ends: see the tag `{RUNS_TAG}`",
    }
    table = [f"| {key} | {value} |" for key, value in rows.items()]
    table.insert(1, "| --- | --- |")
    return "\n".join([f"`{arm.typed}`" if arm.typed else "nothing but the seed", "", *table])


def _write_arm(
    folder: Path,
    arm: SweptArm,
    taken: set[str],
    read: "Callable[[JobOutcome], polars.DataFrame]",
) -> None:
    runs = [each for each in arm.jobs if ended(each.outcome)]
    frames = _frames(runs, read) if len(runs) > 1 else []
    if len(frames) < 2:
        return
    steps, count, columns = aligned(frames)
    scalars = {RUNS_TAG: count}
    for column, values in columns.items():
        tag = CATALOG[column][0]
        low, high = quartile_tags(tag)
        scalars[low], scalars[tag], scalars[high] = quartiles(values)
    own = folder / _folder_name(arm.name, taken)
    disk.make_folder(own, sync=False)
    events = EventWriter(own)
    try:
        events.layout(ARM)
        events.text("arm", _text(arm, len(frames)))
        for place, step in enumerate(steps):
            row = {tag: float(values[place]) for tag, values in scalars.items()}
            events.scalars(int(step), {tag: v for tag, v in row.items() if not np.isnan(v)})
        events.close()
    finally:
        events.abandon()


def aligned(
    frames: "Sequence[polars.DataFrame]",
) -> tuple[NDArray[np.int64], Floats, Mapping[str, Floats]]:
    """Align the metrics of runs at the steps that every run which got so far has logged.

    The last row of a run that ended between two regular rows is dropped, unless no other run got
    so far.

    Args:
        frames: the metrics of R runs.

    Returns:
        The steps ``(S,)``, the number of runs at each step ``(S,)``, and each column ``(S, R)``
        with NaN for missing and non-finite values.
    """
    own = [frame[STEP].to_numpy() for frame in frames]
    steps = np.unique(np.concatenate(own))
    places = [np.searchsorted(steps, each) for each in own]
    logged = np.zeros((len(steps), len(frames)), dtype=bool)
    for run, rows in enumerate(places):
        logged[rows, run] = True
    last = np.array([each[-1] if len(each) else -1 for each in own])
    count = logged.sum(axis=1)
    kept = count == (last >= steps[:, None]).sum(axis=1)
    columns = {}
    for name in CATALOG:
        values = np.full(logged.shape, np.nan)
        for run, (frame, rows) in enumerate(zip(frames, places, strict=True)):
            if name in frame.columns:  # older files lack some
                values[rows, run] = frame[name].fill_null(np.nan).to_numpy()
        columns[name] = np.where(np.isfinite(values), values, np.nan)[kept]
    return steps[kept], count[kept].astype(np.float64), columns
