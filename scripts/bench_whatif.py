"""Time branches of runs against the same number of steps of a fleet: CPU time, in turns.

    python scripts/bench_whatif.py [--rounds 5] [--seeds 4] [--most 100]

Trains runs of `experiment=explosion`, tries 20 interventions from 20, 10 and 2 steps before each
spike and each quiet moment, following for 40 steps, and compares with fleets of 20 such runs.
"""

import argparse
import tempfile
import time
from pathlib import Path

import hw2exp
from bench_parts.measure import one_core, spread
from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train
from hw2exp.fleet.torch_state import torch_as_known
from hw2exp.records.moments import BRANCH
from hw2exp.records.runs import read_runs
from hw2exp.whatif.survey_run import Survey, branches_of, signals_of, trunk_of

DOS = (
    *("clip=norm clip.max_norm=10", "clip=norm clip.max_norm=1", "clip=norm clip.max_norm=0.1"),
    *("clip=value clip.max_value=0.1", "clip=zclip clip.warmup_steps=2"),
    *("lr*0.1", "lr*0.5", "lr*2", "data=1", "data=1 around=2", "skip=100"),
    *("optimizer.mean_square*0", "optimizer.mean_square*4", "optimizer.alpha=0.9", "readout*0.5"),
)
"""Interventions, to which five placebos come."""
STEPS = list(BRANCH).index("steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each takes its turn")
    parser.add_argument("--seeds", type=int, default=4, help="runs whose spikes are tried")
    parser.add_argument("--most", type=int, default=100, help="most spikes of a run")
    arguments = parser.parse_args()
    survey = Survey(DOS, (20, 10, 2), 40, arguments.most, (), 1)
    with tempfile.TemporaryDirectory() as place, one_core(), torch_as_known():
        folder = Path(place) / "runs"
        words = "experiment=explosion", f"seed=range(0,{arguments.seeds})", "plot=false"
        hw2exp.sweep(*words, f"hydra.sweep.dir={folder}")
        runs = [run for arm in read_runs(folder).arms for run in arm.runs.values()]
        shares: dict[str, list[float]] = {"branches": [], "with replays and signals": []}
        for turn in range(arguments.rounds + 1):
            steps, branching, whole = 0, 0.0, 0.0
            for run in runs:
                began = time.process_time()
                trunk, moments = trunk_of(run, survey)
                list(signals_of(trunk, moments, survey))
                before = time.process_time()
                rows = list(branches_of(trunk, moments, survey))
                steps += sum(row[STEPS] for row in rows)
                branching += time.process_time() - before
                whole += time.process_time() - began
            own = _fleet_rate(runs[0].config)
            if turn:  # the first compiles
                for name, seconds in zip(shares, (branching, whole), strict=True):
                    shares[name].append(steps / seconds / own)
    print(f"{steps:,} steps of branches, times the rate of a fleet of 20:")
    for name, found in shares.items():
        print(f"  {name}: {spread(found)}")
    seconds = 3.6e6 / 2 * branching / steps
    print(f"1,000 spikes x 20 x 3 x 60 steps on 2 cores, branches alone: {seconds:.0f} s")


def _fleet_rate(config: TrainConfig) -> float:
    """Return the steps a second of a fleet of 20 runs, without tests or records."""
    fleet = Fleet([config.model_copy(update={"seed": seed}) for seed in range(20)])
    before = time.process_time()
    train(fleet, [], last=400)
    return 20 * 400 / (time.process_time() - before)


if __name__ == "__main__":
    main()
