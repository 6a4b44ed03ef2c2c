"""Time a sweep of many runs without checkpoints, at the default cadence, and ten times as often."""

import argparse

from bench_parts.measure import ratios, row, spread, table
from bench_parts.sweep import OURS, whole

CADENCES = (0, 1000, 100)
"""Steps between two checkpoints; 0 for no checkpoints. The second is the default."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    parser.add_argument("--jobs", type=int, default=64, help="runs (default: 64)")
    parser.add_argument("--steps", type=int, default=4000, help="of each run (default: 4000)")
    arguments = parser.parse_args()
    commands = {every: [*OURS, "plot=false", f"checkpoint_every={every}"] for every in CADENCES}
    seconds: dict[int, list[float]] = {every: [] for every in CADENCES}
    whole(commands[0], arguments.jobs, 10, "result.json")  # compiles kernels before timing
    for _ in range(arguments.rounds):
        for every, command in commands.items():
            taken = whole(command, arguments.jobs, arguments.steps, "result.json")
            seconds[every].append(taken)
    sizes = f"{arguments.jobs} jobs of {arguments.steps} steps"
    print(f"{sizes}, from start to exit; median and quartiles.\n")
    table("checkpoint_every", "seconds", "times that without")
    for every, own in seconds.items():
        row(every, spread(own, 1), spread(ratios(own, seconds[0])))


if __name__ == "__main__":
    main()
