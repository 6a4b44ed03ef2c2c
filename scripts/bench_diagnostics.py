"""Time diagnostics in single runs and fleets: without any, with each part alone, with all."""

import argparse
import tempfile
import time
from pathlib import Path

from bench_parts.measure import one_core, row, spread, table
from hw2exp.config.command_line import read
from hw2exp.runs.fleet_run import run_fleet

PARTS = {
    "flow": "flow_every",
    "gates, attention, logits": "cell_every",
    "Jacobians": "jacobian_every",
    "sharpness": "sharpness_every",
    "histograms and images": "histogram_every",
    "spikes": "spikes",
}
"""The name of each part, and the key that turns it off."""


def words_of(part: str) -> list[str]:
    """Return the overrides for one part at its default cadence, for ``none`` or for ``all``."""
    if part == "none":
        return ["diagnostics=none"]
    off = [key for name, key in PARTS.items() if part not in (name, "all")]
    return ["diagnostics=all", *(f"diagnostics.{key}=0" for key in off)]


def seconds(model: str, replicas: int, steps: int, part: str, *more: str) -> float:
    """Measure the CPU time of a fleet, from its configs to all its files."""
    words = [f"model={model}", f"steps={steps}", "plot=false", *words_of(part), *more]
    config = read(words).jobs[0].config
    configs = [config.model_copy(update={"seed": seed}) for seed in range(replicas)]
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / str(seed) for seed in range(replicas)]
        began = time.process_time()
        run_fleet(configs, folders, show=False)
        return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    parser.add_argument("--steps", type=int, default=3000, help="of each run (default: 3000)")
    parser.add_argument("--models", nargs="+", default=["attn_rnn", "gated_rnn"])
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--parts", nargs="+", default=[*PARTS, "all"], choices=[*PARTS, "all"])
    arguments = parser.parse_args()
    print("CPU time on one core, times that with none, in turn: median and quartiles.\n")
    with one_core():
        table("", "none", *arguments.parts)
        for model in arguments.models:
            for replicas in arguments.replicas:
                # Compile all kernels before timing; those of the sharpness in double precision.
                seconds(model, replicas, 2, "all", "diagnostics.sharpness_every=1")
                plain: list[float] = []
                shown = []
                for part in arguments.parts:
                    pairs = [
                        [seconds(model, replicas, arguments.steps, each) for each in ("none", part)]
                        for _ in range(arguments.rounds)
                    ]
                    plain += [none for none, _ in pairs]
                    shown.append(spread([own / none for none, own in pairs]))
                row(f"{model}, R = {replicas}", spread(plain, 1) + " s", *shown)


if __name__ == "__main__":
    main()
