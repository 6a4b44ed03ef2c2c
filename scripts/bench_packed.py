"""Measure what a sweep with packed records costs besides its training.

    python scripts/bench_packed.py [--side 256] [--rounds 3] [--jobs 16384 262144]

A map's runs (AttentionRNN(2), H 8, EASY, batch 16, SGD, 150 steps) are trained by the whole
command, and by their fleets alone: made, checked against ln 4 and trained, with nothing recorded;
some of them, scaled to all. Times are CPU seconds of all processes, and the two take turns. The
fleets alone are trained in as many processes at once as the command has workers, since two busy
processes can share a core, and each then takes more CPU seconds for the same work. Then sweeps of
10 steps: time a job, and the memory of the largest process. Needs Linux.
"""

import argparse
import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from hw2exp.config.axes import with_data
from hw2exp.config.command_line import read
from hw2exp.fleet.loop import train
from hw2exp.fleet.torch_state import torch_as_known
from hw2exp.runs.fleet_run import begin_fleet
from hw2exp.sweeps.executor import available_cores
from hw2exp.sweeps.packed_sweep import PACKED_SIZE

MAP = (
    "task=easy", "model=attn_rnn", "model.hidden_size=8", "optimizer=sgd", "batch_size=16",
    "log_every=1000", "eval_every=1000", "eval_batches=4", "check_initial_loss=off",
    "records=packed",
)  # fmt: skip
PR_SET_CHILD_SUBREAPER = 36
"""Linux's number for: become the parent of orphans below this process."""

SAMPLE = 32
"""Fleets that are trained alone, at most."""
WORKERS = available_cores()
"""Processes that train at once, as by default in the command."""


def words_of(jobs: int, steps: int) -> list[str]:
    """Return the overrides of a square map of some jobs."""
    side = round(jobs**0.5)
    axes = f"optimizer.lr=logspace(1e-2,30,{side})", f"init.scale=logspace(0.1,10,{side})"
    return [*MAP, f"steps={steps}", *axes]


def alone(words: Sequence[str]) -> float:
    """Return the CPU seconds of the fleets of a sweep, from a sample spread over all."""
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as workers:
        used = [*workers.map(train_sample, [words] * WORKERS, range(WORKERS))]
    return sum(seconds for seconds, _ in used) / sum(share for _, share in used)


def train_sample(words: Sequence[str], part: int) -> tuple[float, float]:
    """Train a part of the sample; return its CPU seconds, and its share of the sweep's runs."""
    grid = read(["-m", *words]).grid
    assert grid is not None
    axes, config = grid.axes, grid.templates[0].config
    (numbers,) = axes.programs()
    fleets = [numbers[at : at + PACKED_SIZE] for at in range(0, len(numbers), PACKED_SIZE)]
    sample = fleets[:: max(1, len(fleets) // SAMPLE)][part::WORKERS]

    def train_fleet(own: Iterable[int]) -> None:
        fleet, _, _ = begin_fleet([with_data(config, axes.data(number)) for number in own])
        train(fleet, [])

    with torch_as_known():
        train_fleet(numbers[:1])  # loads the kernels
        began = time.process_time()
        for own in sample:
            train_fleet(own)
        return time.process_time() - began, sum(map(len, sample)) / len(numbers)


def whole(words: Sequence[str], folder: Path) -> tuple[float, float]:
    """Return the CPU seconds and the seconds of the whole command."""
    command = [sys.executable, "-m", "hw2exp.train", "-m", *words, f"hydra.sweep.dir={folder}"]
    before, began = _cpu(), time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    if process.wait():
        sys.exit(f"failed: {' '.join(command)}")
    seconds = time.monotonic() - began
    with suppress(ChildProcessError):
        while True:  # for the processes of its group that it has left behind, with their times
            os.waitpid(-process.pid, 0)
    return _cpu() - before, seconds


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def size_of(folder: Path, pattern: str = "*") -> tuple[int, int]:
    """Return the number of files below a folder whose names match a pattern, and their bytes."""
    files = [path for path in folder.rglob(pattern) if path.is_file()]
    return len(files), sum(path.stat().st_size for path in files)


def against_training(side: int, rounds: int, folder: Path) -> None:
    """Print the ratio of the whole command to its fleets' training."""
    jobs = side * side
    words = words_of(jobs, 150)
    whole(words_of(16, 150), folder / "warm")
    print(f"{jobs:,} runs of 150 steps; CPU seconds\n")
    print("| round | fleets alone | whole command | ratio | seconds of the command |")
    print("| --- | --- | --- | --- | --- |")
    ratios = []
    for number in range(rounds):
        of_fleets = alone(words)
        of_command, seconds = whole(words, folder / f"map{number}")
        ratios.append(of_command / of_fleets)
        cells = f"{of_fleets:.1f} | {of_command:.1f} | {ratios[-1]:.2f} | {seconds:.1f}"
        print(f"| {number + 1} | {cells} |")
    files, size = size_of(folder / "map0/packed")
    _, of_parameters = size_of(folder / "map0/packed", "*.safetensors")
    print(f"\nmedian {median(ratios):.2f}; {size / jobs:,.0f} bytes a run, in {files} files")
    print(f"of which {of_parameters / jobs:,.0f} are of the files with the final parameters")


def per_job(counts: Sequence[int], folder: Path) -> None:
    """Print the time a job of sweeps of several sizes, and the memory of the largest process."""
    print("\n| jobs of 10 steps | CPU ms a job | memory of the largest process so far, GiB |")
    print("| --- | --- | --- |")
    for jobs in counts:
        of_command, _ = whole(words_of(jobs, 10), folder / f"jobs{jobs}")
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(f"| {jobs:,} | {of_command / jobs * 1000:.2f} | {memory:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=256, help="runs a side of the map")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--jobs", type=int, nargs="*", default=[16_384, 262_144])
    arguments = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    with tempfile.TemporaryDirectory() as name:
        against_training(arguments.side, arguments.rounds, Path(name))
        per_job(arguments.jobs, Path(name))


if __name__ == "__main__":
    main()
