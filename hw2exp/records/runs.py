"""Read the runs below a folder."""

import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np

from hw2exp.config.folder import check_there
from hw2exp.config.own_code import MODULES
from hw2exp.config.recorded import UnknownConfigError
from hw2exp.config.run_files import CONFIG, PACKED, RESULT
from hw2exp.config.schema import TrainConfig
from hw2exp.config.settings import rank_of_path
from hw2exp.config.validation import codeless
from hw2exp.records.arms import Run, arm_numbers, gather
from hw2exp.records.found import Found, FoundArms, FoundPacked, runs_of
from hw2exp.records.packed import SWEEP as PACKED_SWEEP
from hw2exp.records.packed import PackedSweep
from hw2exp.records.packed_rows import JOB
from hw2exp.system.problems import ConfigError, counted

PARTLY = "; other seeds of {} stay: they were ahead in their fleets, or diverged before"
DAMAGED = (
    "sweep {0} left out: packed records can't be read: {1}; "
    "its command with resume={0} repairs them"
)
REPEATED = "another run has its settings and seed"
NAMED = 3
"""Most runs that a line about runs left out names."""

NO_RESULT = "no result: interrupted, failed, or still running"


def read_runs(folder: Path, shown: bool = False) -> Found:
    """Read every run below a folder.

    Args:
        folder: the folder.
        shown: whether the runs are only shown, so that choices without code are allowed.

    Raises:
        ConfigError: there is no such folder, or no usable run in it.
    """
    check_there(folder, str(folder))
    if (whole := _only_packed(folder, shown)) is not None:
        return whole
    runs: list[Run] = []
    left_out: defaultdict[str, list[Path | None]] = defaultdict(list)
    begun, ended = _run_folders(folder)
    for path in sorted(begun - ended, key=rank_of_path):
        left_out[NO_RESULT].append(path)
    for path in sorted(ended, key=rank_of_path):
        try:
            run = Run.read(path, shown)
        except (ConfigError, OSError, ValueError) as error:
            left_out[_why(error, "config or result can't be read")].append(path)
            continue
        if problem := _unusable(run):
            left_out[problem].append(path)
        else:
            runs.append(run)
    damaged = []
    for path, own in packed_runs(folder, shown):
        if isinstance(own, UnknownConfigError):
            left_out[own.problems[0]].append(path)
        elif isinstance(own, Exception):
            damaged.append(DAMAGED.format(path, own))
        else:
            finished, jobs = own
            runs += finished
            left_out[NO_RESULT] += [None] * (jobs - len(finished))
    arms, repeated = gather(run for run in runs if run.result.pruned_at is None)
    lost = damaged + [
        _line(why, len(paths)) + _named(folder, paths) for why, paths in left_out.items() if paths
    ]
    lines = lost + _pruned_lines(runs) + repeated_line(repeated) + without_code(runs)
    if not arms:
        problem = f"{folder}: holds no run that came to its end"
        raise ConfigError(["; ".join([problem, *lines])])
    return FoundArms(tuple(lines), tuple(lost), sorted(arms, key=lambda arm: arm.rank))


def _run_folders(folder: Path) -> tuple[set[Path], set[Path]]:
    """Return the folders of runs that have begun, and of those that have a result.

    The folder of a run that was extracted from packed records is left out, because its run is read
    from the records, unless the folder is the given one.
    """
    begun = {path.parent.parent for path in folder.glob(f"**/{CONFIG}")}
    ended = {path.parent for path in folder.glob(f"**/{RESULT}")}
    extracted = {
        path
        for path in begun | ended
        if path != folder
        and path.name.isdecimal()
        and (path.parent / PACKED / PACKED_SWEEP).exists()
    }
    return begun - extracted, ended - extracted


def without_code(runs: Iterable[Run]) -> list[str]:
    """Return a line on the choices whose code is not known, if some runs have such choices."""
    return _codeless([(1, run.config, run.result.versions) for run in runs])


def _codeless(counts: Iterable[tuple[int, TrainConfig, Mapping[str, str]]]) -> list[str]:
    """Return that line for groups of runs, given by their number, config and versions."""
    number, choices, modules = 0, dict[str, None](), dict[str, None]()
    for count, config, versions in counts:
        if missing := codeless(config):
            number += count
            choices |= dict.fromkeys(missing)
            modules |= dict.fromkeys(versions.get(MODULES, "").split())
    if not number:
        return []
    known = "".join(f" --import {shlex.quote(name)}" for name in modules)
    where = f"; it comes by{known}" if modules else ""
    return [f"{counted(number, 'run')} shown as recorded: no code of {', '.join(choices)}{where}"]


def _only_packed(folder: Path, shown: bool) -> Found | None:
    """Return the runs of sweeps with packed records if the folder has no others."""
    if _run_folders(folder)[1]:
        return None
    own = [path.parent.parent for path in sorted(folder.glob(f"**/{PACKED}/{PACKED_SWEEP}"))]
    try:
        read = [PackedSweep.read(each, shown) for each in own]
        every = [(sweep, rows) for sweep in read if len(rows := sweep.runs())]
    except (ConfigError, OSError, ValueError):
        return None  # reported together with all others
    if not every:
        return None
    sweeps = [(sweep, rows.filter(rows["pruned_at"].is_null())) for sweep, rows in every]
    missing = sum(len(sweep.axes) for sweep in read) - sum(len(rows) for _, rows in every)
    lost = (_line(NO_RESULT, missing),) * (missing > 0)
    found = FoundPacked(lost, lost, sweeps)
    pruned = [run for own, _ in every if own.prunes for run in runs_of(own)]
    lines = [*_pruned_lines(pruned), *repeated_line(found.repeated)]
    for sweep, rows in every:
        programs, counts = np.unique(sweep.program_of(rows[JOB].to_numpy()), return_counts=True)
        configs = [sweep.configs[program] for program in programs.tolist()]
        versions = next(iter(sweep.versions()), {})
        lines += _codeless(zip(counts.tolist(), configs, repeat(versions), strict=False))
    return replace(found, left_out=(*lost, *lines))


def runs_below(folder: Path) -> Iterator[tuple[Path, Run | Exception]]:
    """Yield each run below a folder, or the error because of which it can't be read.

    Args:
        folder: the folder.

    Yields:
        The run's folder and the run. With packed records, the folder is the one that the run would
        have. If they can't be read, or lack runs, the sweep's folder and an error come too.
    """
    for path in sorted(set.union(*_run_folders(folder)), key=rank_of_path):
        try:
            if not (path / RESULT).exists():
                raise ValueError("has no result; interrupted, or still running")
            run: Run | Exception = Run.read(path, shown=True)
        except (ConfigError, OSError, ValueError) as error:
            run = error
        yield path, run
    for sweep, own in packed_runs(folder, shown=True):
        if isinstance(own, Exception):
            yield sweep, own
        else:
            ended, jobs = own
            yield from ((run.folder, run) for run in ended)
            if len(ended) < jobs:
                yield sweep, ValueError(f"{jobs - len(ended)} of {jobs} runs have no result")


def packed_runs(
    folder: Path, shown: bool = False
) -> Iterator[tuple[Path, tuple[list[Run], int] | Exception]]:
    """Yield each sweep with packed records below a folder, and its runs, or an error.

    The runs are those that have ended; with them comes the number of the sweep's jobs.

    Args:
        folder: the folder.
        shown: whether the runs are only shown, so that choices without code are allowed.
    """
    for path in sorted(folder.glob(f"**/{PACKED}/{PACKED_SWEEP}")):
        own = path.parent.parent
        try:
            sweep = PackedSweep.read(own, shown)
            yield own, (runs_of(sweep), len(sweep.axes))
        except (ConfigError, OSError, ValueError) as error:
            yield own, error


def _pruned_lines(runs: Sequence[Run]) -> list[str]:
    """Return a line about the runs that were pruned, if any; their ends can't be compared."""
    pruned = [run for run in runs if run.result.pruned_at is not None]
    if not pruned:
        return []
    steps = sorted({run.result.step for run in pruned})
    span = f"step {steps[0]:,}" + f" to {steps[-1]:,}" * (len(steps) > 1)
    numbers = zip(arm_numbers([run.config for run in runs]), runs, strict=True)
    gone, kept = set[int](), set[int]()
    for number, run in numbers:
        (kept if run.result.pruned_at is None else gone).add(number)
    partly = PARTLY.format(counted(len(gone & kept), "arm")) if gone & kept else ""
    arms = f"{counted(len(gone), 'arm')} behind the others of a fleet"
    return [_line(f"pruned at {span}, of {arms}{partly}", len(pruned))]


def _why(error: Exception, else_: str) -> str:
    return error.problems[0] if isinstance(error, UnknownConfigError) else else_


def repeated_line(number: int) -> list[str]:
    """Return a line on runs that are left out because others have their settings and seeds.

    Args:
        number: the number of such runs; without any there is no line.
    """
    return [_line(REPEATED, number)] * (number > 0)


def _line(why: str, count: int) -> str:
    return f"{counted(count, 'run')} left out: {why}"


def _named(folder: Path, paths: Sequence[Path | None]) -> str:
    """Name the first of some runs, by their folders; those of packed records have none."""
    known = [path.relative_to(folder) if path != folder else path for path in paths if path]
    shown = known[:NAMED]
    rest = len(paths) - len(shown)
    more = f" and {rest:,} more" * (rest > 0)
    return f" ({', '.join(map(str, shown))}{more})" if shown else ""


def _unusable(run: Run) -> str | None:
    """Return why a run must be left out, or None; the metrics read here are not kept."""
    if run.result.status == "interrupted":
        return "interrupted"
    try:
        run.checked_metrics()
    except ValueError as error:
        return str(error)
    return None
