"""Time a sweep of 64 runs without checkpoints, at the default cadence, and ten times as often."""

import argparse

from bench_parts.measure import ratios, row, spread, table
from bench_parts.sweep import OURS, whole

CADENCES = (0, 1000, 100)
"""Steps between two checkpoints; 0 for no checkpoints. The second is the default."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    parser.add_argument("--steps", type=int, default=4000, help="of each run (default: 4000)")
    arguments = parser.parse_args()
    commands = {every: [*OURS, "plot=false", f"checkpoint_every={every}"] for every in CADENCES}
    seconds: dict[int, list[float]] = {every: [] for every in CADENCES}
    whole(commands[0], 64, 10, "result.json")  # compiles kernels before timing
    for _ in range(arguments.rounds):
        for every, command in commands.items():
            seconds[every].append(whole(command, 64, arguments.steps, "result.json"))
    print(f"64 jobs of {arguments.steps} steps, from start to exit; median and quartiles.\n")
    table("checkpoint_every", "seconds", "times that without")
    for every, own in seconds.items():
        row(every, spread(own, 1), spread(ratios(own, seconds[0])))


if __name__ == "__main__":
    main()
