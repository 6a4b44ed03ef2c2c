"""Train the published curve's network with torch's own modules, and measure the reference runs.

    python scripts/notebook_reference.py [--seeds 16] [--out FILE.csv]

The runs are seeds 1 to 16 of section 8 of the notebook: ``torch.nn.LSTM`` and
``torch.optim.RMSprop`` in a plain loop. The script prints a row a seed: epochs at the plateau, the
highest loss, the last test accuracy, and the number of epochs for which our runs of the same seeds
have the same losses. It takes five minutes on one core.
"""

import argparse
import csv
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hw2exp.config.command_line import read
from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.statistics import Floats
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train
from hw2exp.report.published import EPOCH, PublishedCurves
from hw2exp.system import disk
from hw2exp.tasks.notebook_stream import NotebookStream
from hw2exp.tasks.task import TEST, TRAIN
from hw2exp.tasks.temporal_order import PAD, TemporalOrder

AGREES = 1e-5
"""The largest difference between losses that count as the same."""

SEEDS = 16
SIZE = 32
"""The batch size of the notebook."""
NO_SEEDS = np.zeros(1, dtype=np.uint64)
"""A placeholder: the notebook's stream is the same for every seed."""
ONE_HOT = torch.eye(PAD + 1, PAD)

Batches = list[tuple[Tensor, Tensor]]


class Epochs:
    """An observer that keeps the curves of the notebook's plot, a value an epoch and replica."""

    def __init__(self) -> None:
        self.train: list[Floats] = []
        self.test: list[Floats] = []
        self.accuracy: list[Floats] = []

    def observe(self, steps: range, measured: Any, tested: Any) -> None:
        """Keep the losses and the accuracy of the last step if it ends an epoch."""
        if steps[-1] % EPOCH == 0:
            self.train.append(measured.loss[-1].double().numpy())
            self.test.append(tested.losses[:, -1].double().numpy())
            self.accuracy.append(tested.accuracy.double().numpy())

    @property
    def curves(self) -> PublishedCurves:
        """Return the kept curves."""
        train, test = (np.stack(each, 1) for each in (self.train, self.test))  # (R, epochs)
        return PublishedCurves(train, test, self.accuracy[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many; by default {SEEDS}")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table as CSV too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    words = "experiment=notebook_lstm_moderate", f"seed=range(1,{arguments.seeds + 1})"
    configs = [job.config for job in read(["-m", *words]).jobs]
    epochs = configs[0].steps // EPOCH
    ours = of_ours(configs)
    theirs = of_torch(configs, lambda: nn.LSTM(PAD, configs[0].model.hidden_size), epochs)
    text = table([config.seed for config in configs], theirs, ours)
    print(text, end="")
    print(
        f"median plateau {np.median(theirs.plateau):g} (ours {np.median(ours.plateau):g}), "
        f"spiking {theirs.spiking} ({ours.spiking}), ending well {theirs.ending_well} "
        f"({ours.ending_well}), of {len(configs)}",
        file=sys.stderr,
    )
    if arguments.out:
        disk.write(arguments.out, text.encode())
    return 0


def table(seeds: Sequence[int], theirs: PublishedCurves, ours: PublishedCurves) -> str:
    """Return the table, a row a seed.

    Args:
        seeds: the seed of each run.
        theirs: torch's curves.
        ours: our curves of the same runs.
    """
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(["seed", "plateau", "highest_loss", "test_accuracy", "epochs_that_agree"])
    agree = epochs_that_agree(theirs, ours)
    for n, seed in enumerate(seeds):
        row = theirs.plateau[n], round(theirs.highest[n], 3), round(theirs.accuracy[n], 4)
        writer.writerow([seed, *(f"{value:g}" for value in row), agree[n]])
    return written.getvalue()


def epochs_that_agree(theirs: PublishedCurves, ours: PublishedCurves) -> list[int]:
    """Return for each run the number of epochs, from the first, in which both losses agree.

    Args:
        theirs: curves of some runs.
        ours: curves of the same runs.
    """
    pairs = (theirs.train, ours.train), (theirs.test, ours.test)
    far = np.maximum(*(np.abs(one - other) for one, other in pairs))  # (R, epochs)
    off = ~(far <= AGREES)  # also if a loss is not finite
    return [int(own.argmax()) if own.any() else len(own) for own in off]


def of_ours(configs: Sequence[TrainConfig]) -> PublishedCurves:
    """Train our own runs.

    Args:
        configs: the config of each run.
    """
    seen = Epochs()
    train(Fleet(configs), [seen])
    return seen.curves


def of_torch(
    configs: Sequence[TrainConfig], build: Callable[[], Any], epochs: int
) -> PublishedCurves:
    """Train torch's module in a plain loop, once for each seed.

    Args:
        configs: the config of each run, all of one task.
        build: a function that makes the recurrent module, batch second.
        epochs: the number of epochs.
    """
    task = configs[0].task
    stream = NotebookStream(TemporalOrder(*task.ranges, task.framed), SIZE, task.notebook_seed)
    batches = [_tensors(stream, step, SIZE, TRAIN) for step in range(1, EPOCH * epochs + 1)]
    last_steps = range(EPOCH, EPOCH * epochs + 1, EPOCH)
    tests = [_tensors(stream, step, EPOCH * SIZE, TEST) for step in last_steps]
    runs = [plain_loop(build, config.seed, batches, tests) for config in configs]
    train_losses, test_losses, accuracy = np.moveaxis(np.array(runs), 2, 0)  # (R, epochs) each
    return PublishedCurves(train_losses, test_losses, accuracy[:, -1])


def plain_loop(
    build: Callable[[], Any], seed: int, batches: Batches, tests: Batches
) -> list[tuple[float, ...]]:
    """Return per epoch the last batch's loss, the last test batch's loss, the test accuracy.

    Args:
        build: a function that makes the recurrent module, batch second.
        seed: the seed for ``torch.manual_seed``.
        batches: the training batches, in order of the epochs.
        tests: all sequences of each epoch's test pass.
    """
    torch.manual_seed(seed)
    rnn = build()
    readout = nn.Linear(rnn.hidden_size, 4)
    optimizer = torch.optim.RMSprop([*rnn.parameters(), *readout.parameters()], lr=0.001)
    curve = []
    for epoch, test in enumerate(tests):
        for batch in batches[EPOCH * epoch : EPOCH * (epoch + 1)]:
            loss = _losses(rnn, readout, batch)[0].mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            losses, right = _losses(rnn, readout, test)
        last = loss.detach(), losses[-SIZE:].mean(), right.float().mean()
        curve.append(tuple(float(value) for value in last))
    return curve


def _tensors(stream: NotebookStream, step: int, size: int, kind: int) -> tuple[Tensor, Tensor]:
    symbols, labels = stream.batch(NO_SEEDS, step, size, kind)
    return torch.from_numpy(symbols[0]), torch.from_numpy(labels[0]).long()


def _losses(rnn: Any, readout: nn.Linear, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the loss of each sequence, and whether the sequence was classified right."""
    symbols, labels = batch  # (B, T), (B,)
    logits = readout(rnn(ONE_HOT[symbols.T.long()])[0][-1])  # (B, C)
    return nn.functional.cross_entropy(logits, labels, reduction="none"), logits.argmax(1) == labels


if __name__ == "__main__":
    sys.exit(main())
