"""Compare a sweep of many seeds with the same jobs under Hydra's own launchers."""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench_parts.measure import ratios, row, run, spread, table

OURS = [sys.executable, "-m", "hw2exp.train", "-m", "model=gated_rnn", "task=normal"]
PEER = [sys.executable, str(Path(__file__).parents[1] / "peers" / "plain_loop.py"), "-m"]
CORES = len(os.sched_getaffinity(0))
JOBLIB = "hydra/launcher=joblib", f"hydra.launcher.n_jobs={CORES}", "threads=1"

PEERS = {
    "basic launcher, torch's default threads": (1, 5, ()),
    "basic launcher, one thread": (1, 5, ("threads=1",)),
    f"joblib launcher, n_jobs={CORES}, one thread each": (CORES, 4 * CORES, JOBLIB),
}
"""By a peer's name: jobs of the shorter and of the longer sample, and overrides."""


def main(quick: bool) -> None:
    jobs, steps, rounds = (8, 50, 1) if quick else (256, 1000, 3)
    print(
        f"{jobs} jobs: gated RNN (H 16), NORMAL, batch 32, {steps} steps; seconds from start to "
        f"exit on {CORES} cores. The peers' come from two samples: the shorter's time, and for all "
        "other jobs the time that the longer's additional jobs took each. Median and range; "
        f"rounds: {rounds}.\n"
    )
    sweeps = {"hw2exp, all files": (), "hw2exp, plot=false": ("plot=false",)}
    seconds: dict[str, list[float]] = {name: [] for name in [*sweeps, *PEERS]}
    for _ in range(rounds):
        for name, overrides in sweeps.items():
            seconds[name].append(whole([*OURS, *overrides], jobs, steps, "result.json"))
        for name in PEERS:
            seconds[name].append(scaled(name, jobs, steps))
    table("", "seconds", "samples", *(f"times {name}" for name in sweeps))
    for name, own in seconds.items():
        sample = "{} and {} jobs".format(*PEERS[name][:2]) if name in PEERS else f"{jobs} jobs"
        faster = [spread(ratios(own, seconds[mine]), 1) for mine in sweeps]
        row(name, spread(own, 1), sample, *faster)


def scaled(name: str, jobs: int, steps: int) -> float:
    """Extrapolate the seconds that a peer would need for all jobs."""
    few, many, overrides = PEERS[name]
    short, long = (
        whole([*PEER, *overrides], sample, steps, "events.out.*") for sample in (few, many)
    )
    return short + (jobs - few) * (long - short) / (many - few)


def whole(command: Sequence[str], jobs: int, steps: int, trace: str) -> float:
    """Measure the seconds of a sweep; check that every job wrote its file ``trace``.

    Raises:
        SystemExit: the command failed, or a job did not write the file.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "sweep"
        seconds = run([*command, f"seed=range(0,{jobs})", f"steps={steps}"], folder)
        found = len(list(folder.rglob(trace)))
    if found != jobs:
        raise SystemExit(f"{' '.join(command)}: {found} of {jobs} jobs wrote {trace}")
    return seconds
