"""Time a sweep of many short runs by two executors, and compare the digests of all runs.

Whole commands take turns: start, training, all files, exit. Example for a cluster that is there:
``--other executor=dask executor.scheduler=tcp://node1:8786``.
"""

import argparse
import os
import tempfile
from pathlib import Path

from bench_parts.measure import ratios, row, run, spread, table
from bench_parts.sweep import OURS
from hw2exp.records.run_dir import read_result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--other", nargs="+", default=["executor=dask"], help="overrides")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--jobs", type=int, default=512, help="runs (default: 512)")
    parser.add_argument("--steps", type=int, default=2000, help="of each run (default: 2000)")
    arguments = parser.parse_args()
    print(
        f"{arguments.jobs} gated RNNs (H 16), NORMAL, batch 32, {arguments.steps} steps; "
        f"{len(os.sched_getaffinity(0))} cores. Median and quartiles; rounds: {arguments.rounds}.\n"
    )
    contenders = {"executor=local": ["executor=local"], " ".join(arguments.other): arguments.other}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    digests = set()
    for _ in range(arguments.rounds):
        for name, words in contenders.items():
            own, found = timed(words, arguments.jobs, arguments.steps)
            seconds[name].append(own)
            digests.add(found)
    table("", "seconds", "times local")
    for name, own in seconds.items():
        row(name, spread(own), spread(ratios(own, seconds["executor=local"])))
    if len(digests) > 1:
        raise SystemExit("the digests differ")
    print(f"\nThe digests of all {arguments.jobs} runs are the same.")


def timed(words: list[str], jobs: int, steps: int) -> tuple[float, tuple[str, ...]]:
    """Return the seconds of a sweep, and the digests of its runs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "folder"
        place = ["hydra.sweep.dir=sweep", f"seed=range(0,{jobs})", f"steps={steps}", "plot=false"]
        seconds = run([*OURS, *words, *place], folder)
        results = [read_result(folder / "sweep" / str(job)) for job in range(jobs)]
    return seconds, tuple(each.parameters_sha256 + each.metrics_sha256 for each in results)


if __name__ == "__main__":
    main()
