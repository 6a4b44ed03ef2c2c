"""Compare whole processes, from the command to its exit: our run, a plain loop, JAX."""

import sys
import tempfile
from pathlib import Path

from bench_parts.environments import JAX, jax_command
from bench_parts.measure import alone, one_core, ratios, row, run, spread, table
from bench_parts.programs import write_data

OURS = [sys.executable, "-m", "hw2exp.train", "model=gated_rnn", "task=normal"]
PLAIN = [sys.executable, str(Path(__file__).parents[1] / "peers" / "plain_loop.py")]
IMPORT = [sys.executable, "-c", "import torch"]


def main(quick: bool) -> None:
    steps, rounds = (50, 1) if quick else (3000, 5)
    print(
        f"Gated RNN (H 16), NORMAL, batch 32, {steps} steps: seconds of a process on one core, "
        "taking turns. Ours tests and records; the plain loop tests and logs; JAX compiles, then "
        "trains on batches that lie ready. Kernels of ours are compiled before.\n"
    )
    with one_core(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "data.npz"
        alone(write_data, "gated_rnn", 1, steps, data)
        commands = {
            "hw2exp, all files": [*OURS, f"steps={steps}"],
            "hw2exp, plot=false": [*OURS, f"steps={steps}", "plot=false"],
            "hw2exp, steps=1 plot=false": [*OURS, "steps=1", "plot=false"],
            "import torch": IMPORT,
            "plain torch loop": [*PLAIN, f"steps={steps}"],
        } | {f"JAX {v}": jax_command(v, "gated_rnn", data, "once") for v in JAX}
        for number, command in enumerate(commands.values()):
            run(command, folder / f"warm-{number}")
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(rounds):
            for number, (name, command) in enumerate(commands.items()):
                seconds[name].append(run(command, folder / f"{turn}-{number}"))
    table("process", "seconds", "times hw2exp, plot=false", "times import torch")
    for name, own in seconds.items():
        others = (seconds["hw2exp, plot=false"], seconds["import torch"])
        row(name, spread(own), *(spread(ratios(own, other)) for other in others))
