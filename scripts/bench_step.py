"""Measure steps per second of one run, against a plain torch.nn loop and against no logging.

    python scripts/bench_step.py [--rounds N] [--steps N] [--replicas N ...]

All contenders run in this process on one thread and take turns, block by block, so that drifts of
the machine's speed affect all alike. Ratios are of the same round; their median and quartiles are
printed. Time is the process's own CPU time.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import nn

from hw2exp.config.command_line import read
from hw2exp.config.schema import TrainConfig
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import advance
from hw2exp.runs.live_line import LiveLine
from hw2exp.runs.recording import Recording
from hw2exp.tasks.notebook_stream import NotebookStream
from hw2exp.tasks.task import TRAIN
from hw2exp.tasks.temporal_order import PAD, TemporalOrder

CALL = 50
"""Steps of a call."""

Block = Callable[[range], None]
"""Makes some steps."""


def plain(config: TrainConfig) -> Block:
    """Make a loop like the notebook's: torch.nn, torch.optim, the notebook's sequences."""
    torch.manual_seed(1)
    kinds = {"lstm": nn.LSTM, "rnn": nn.RNN}
    rnn = kinds[config.model.name](PAD, config.model.hidden_size)
    readout = nn.Linear(config.model.hidden_size, 4)
    optimizer = torch.optim.RMSprop([*rnn.parameters(), *readout.parameters()], lr=0.001)
    task = TemporalOrder(config.task.length, config.task.t1, config.task.t2)
    stream, one_hot = NotebookStream(task, config.batch_size, 8382), torch.eye(PAD + 1, PAD)

    def block(steps: range) -> None:
        for step in steps:
            batch = stream.batch(np.zeros(1), step, config.batch_size, TRAIN)
            symbols, labels = (torch.from_numpy(array[0]).long() for array in batch)
            logits = readout(rnn(one_hot[symbols.T])[0][-1])
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits, labels).backward()
            optimizer.step()

    return block


def ours(
    configs: Sequence[TrainConfig], folder: Path | None = None, stack: ExitStack | None = None
) -> Block:
    """Make our loop; with a folder, record and show everything at the default cadence."""
    fleet = Fleet(configs)
    observers: list[Recording | LiveLine] = []
    if folder is not None and stack is not None:
        folders = [folder / str(place) for place in range(len(configs))]
        for each in folders:
            each.mkdir(parents=True)
        ones = np.ones(len(configs))
        recording = Recording(fleet, folders, (ones, ones))
        recording.open_events()
        unseen = Console(file=io.StringIO(), force_terminal=True, width=100)
        line = LiveLine(10**9, recording.spikes_so_far, unseen)
        observers = [recording, stack.enter_context(line)]

    def block(steps: range) -> None:
        for first in range(steps.start, steps.stop, CALL):
            measured = advance(fleet, first, first + CALL - 1)
            for observer in observers:
                observer.observe(range(first, first + CALL), measured, None)

    return block


def seconds(block: Block, steps: range) -> float:
    began = time.process_time()
    block(steps)
    return time.process_time() - began


def compare(a: Block, b: Block, rounds: int, size: int) -> str:
    """Return a row of the table: steps/s of both, and the ratio a/b over pairs of turns."""
    turns = [range(n * size + 1, (n + 1) * size + 1) for n in range(rounds + 1)]
    _, *times = [(seconds(a, steps), seconds(b, steps)) for steps in turns]
    speed_a, speed_b = (size / statistics.median(column) for column in zip(*times, strict=True))
    ratios = sorted(time_b / time_a for time_a, time_b in times)
    quarter = len(ratios) // 4
    return (
        f"{speed_a:.0f} | {speed_b:.0f} | {statistics.median(ratios):.3f} "
        f"({ratios[quarter]:.3f}–{ratios[-1 - quarter]:.3f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10, help="turns of a contender")
    parser.add_argument("--steps", type=int, default=600, help="steps of a turn, a multiple of 50")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 64], help="runs at once")
    given = parser.parse_args()
    rounds, steps = given.rounds, given.steps
    torch.set_num_threads(1)
    print("| A against B, steps/s | A | B | A/B, median (quartiles) |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        for model, size in (("lstm", 12), ("rnn", 12)):
            choices = f"model={model}", f"model.hidden_size={size}", "task=moderate"
            config = read([*choices, "task.stream=notebook", "eval_every=31"]).jobs[0].config
            with ExitStack() as stack:  # close the live line before printing
                recorded = ours([config], Path(name) / model, stack)
                row = compare(recorded, plain(config), rounds, steps)
            print(f"| {model}, MODERATE: recorded run, plain torch.nn loop | {row} |", flush=True)
        for model, runs in product(("attn_rnn", "gated_rnn", "rnn"), given.replicas):
            words = "-m", f"model={model}", f"seed=range(0,{runs})"
            configs = [job.config for job in read(words).jobs]
            with ExitStack() as stack:
                logged = ours(configs, Path(name) / f"{model}-{runs}", stack)
                row = compare(logged, ours(configs), rounds, steps)
            print(f"| {model}, NORMAL, {runs} at once: logging on, off | {row} |", flush=True)


if __name__ == "__main__":
    main()
