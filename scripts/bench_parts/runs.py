"""Measure what a sweep of many short runs costs besides its steps, and what it leaves."""

import io
import json
import os
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

from bench_parts.measure import alone, row, table
from bench_parts.scaling import memory
from hw2exp.config.command_line import read
from hw2exp.records.runs import read_runs
from hw2exp.sweeps.execution import execute
from hw2exp.sweeps.progress import BINS, Progress, read_progress
from hw2exp.system.interrupt import Interrupt

SHORT = (
    "model=rnn", "task=easy", "batch_size=8", "steps=10", "eval_batches=1",
    "check_initial_loss=off",  # which one of some thousand seeds would fail, on so few sequences
)  # fmt: skip


def main(quick: bool) -> None:
    if not quick:
        alone(measure, 2)  # compiles
    table(
        "runs", "ms of CPU a run: compose", "folders, records, table", "read for a report",
        "ms a run of the whole command", "leader's MiB", "files a run", "KB a run", "KB on disk",
    )  # fmt: skip
    for count in (20,) if quick else (1000, 10_000):
        *costs, whole, mebibytes, files, content, disk = alone(measure, count)
        row(
            count, *(f"{1e3 * cost / count:.2f}" for cost in costs), f"{1e3 * whole / count:.1f}",
            f"{mebibytes:.0f}", f"{files / count:.1f}", f"{content / count / 1e3:.1f}",
            f"{disk / count / 1e3:.1f}",
        )  # fmt: skip
    there, missing = alone(look, 20 if quick else 1000)
    print(f"\nA look at a fleet's progress: {there:.0f} µs; where it has none: {missing:.0f} µs.")


def measure(count: int) -> tuple[float, ...]:
    """Run a sweep of ten steps a run.

    Returns:
        CPU seconds of the leading process to compose the jobs, and for the rest of the command;
        CPU seconds to read the runs for a report; seconds of the command; peak memory of the
        leading process in MiB; files, their bytes, and the bytes on disk.
    """
    with tempfile.TemporaryDirectory() as name, redirect_stdout(io.StringIO()):
        folder = Path(name, "sweep")
        words = ["-m", *SHORT, f"seed=range(0,{count})", f"hydra.sweep.dir={folder}", "plot=false"]
        began, clock = time.perf_counter(), [time.process_time()]
        command = read(words)
        clock.append(time.process_time())
        with Interrupt() as interrupt:
            execute(command, interrupt)
        clock.append(time.process_time())
        whole = time.perf_counter() - began
        peak = memory("VmHWM") / 2**20
        clock.append(time.process_time())
        assert sum(len(arm.runs) for arm in read_runs(folder).arms) == count
        clock.append(time.process_time())
        files = [Path(root, each).stat() for root, _, names in os.walk(folder) for each in names]
    taken = [after - before for before, after in pairwise(clock)]
    content, disk = sum(f.st_size for f in files), sum(512 * f.st_blocks for f in files)
    return *taken[:2], taken[3], whole, peak, len(files), content, disk


def look(count: int) -> tuple[float, float]:
    """Measure the microseconds to read a fleet's progress file, and to find none."""
    text = json.dumps(asdict(Progress(losses=[1.2345] * BINS, norms=[1.2345] * BINS)))
    taken = []
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name, f"{number}.json") for number in range(count)]
        for path in paths:
            path.write_text(text, encoding="utf-8")
        for wanted in (paths, [path.with_suffix(".none") for path in paths]):
            began = time.perf_counter()
            read_progress(wanted)
            taken.append(1e6 * (time.perf_counter() - began) / count)
    return taken[0], taken[1]
