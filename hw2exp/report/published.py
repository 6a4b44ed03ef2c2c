"""The published curve, section 8 of the notebook: what of its shape each run shows, by epoch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw2exp.records.runs import Arm, Run

Floats = NDArray[np.float64]

EPOCH = 31
"""Batches of an epoch of the notebook."""
FALLEN = 1.3
"""A run has left the plateau at ln 4 once its training loss has been below."""
SPIKE = 1.5
"""An epoch's loss above is a spike above the initial value."""
ENDS_WELL = 0.95
"""A test accuracy that is called success."""

PLATEAUS = 12, 14, 22, 17, 18, 15, 10, 14, 35, 19, 13, 26, 25, 24, 10, 15
SPIKING = 14, 16
ENDING_WELL = 12, 16
"""Of torch's own LSTM in a plain loop, seeds 1 to 16, as ``scripts/notebook_reference.py`` measures
them: epochs at the plateau by seed, runs with such a spike, runs that end well. Off the plateau a
curve is chaotic: another build of torch gave 13 and 11."""


@dataclass(frozen=True)
class Curves:
    """The curves of some runs as the notebook plots them, a value an epoch.

    Args:
        train: the loss of each epoch's last training batch, ``(R, epochs)``.
        test: that of the last test batch after it, ``(R, epochs)``.
        accuracy: of the last test pass, ``(R,)``.
    """

    train: Floats
    test: Floats
    accuracy: Floats

    @property
    def plateau(self) -> Floats:
        """Epochs before the first one whose loss has fallen; infinite if none has, ``(R,)``."""
        fallen = self.train < FALLEN
        return np.where(fallen.any(1), fallen.argmax(1), np.inf)

    @property
    def highest(self) -> Floats:
        """The largest of both losses, ``(R,)``."""
        return np.asarray(np.fmax(self.train, self.test).max(1))

    @property
    def spiking(self) -> int:
        """Runs with an epoch whose training or test loss is a spike."""
        return int((self.highest > SPIKE).sum())

    @property
    def ending_well(self) -> int:
        """Runs whose last test accuracy is a success."""
        return int((self.accuracy >= ENDS_WELL).sum())


@dataclass(frozen=True)
class Published(Curves):
    """The curves of an arm.

    Args:
        arm: its runs.
    """

    arm: Arm


def published(arms: Sequence[Arm]) -> list[Published]:
    """The arms that were trained on the notebook's section 8.

    Args:
        arms: all.
    """
    return [_of(arm) for arm in arms if _is_section_8(arm)]


def _is_section_8(arm: Arm) -> bool:
    wanted = {
        "model": "lstm",
        "model.hidden_size": "12",
        "task": "moderate",
        "task.stream": "notebook",
        "optimizer": "rmsprop",
        "optimizer.lr": "0.001",
    }
    logged = all(run.config.log_every == EPOCH for run in arm.runs.values())
    return logged and all(arm.settings.get(key) == value for key, value in wanted.items())


def _of(arm: Arm) -> Published:
    epochs = max(run.config.steps for run in arm.runs.values()) // EPOCH
    curves = [_epochs(run, epochs) for run in arm.runs.values()]
    accuracy = [run.result.final_or("test_accuracy", 0.0) for run in arm.runs.values()]
    train, test = (np.stack(column) for column in zip(*curves, strict=True))
    return Published(train, test, np.array(accuracy), arm)


def _epochs(run: Run, epochs: int) -> tuple[Floats, Floats]:
    """Both losses at the end of each epoch; infinite after a divergence."""
    metrics = run.metrics()
    found = np.full((2, epochs), np.inf)
    places = metrics["step"].to_numpy() / EPOCH - 1
    whole = (places == np.floor(places)) & (places < epochs)
    for values, name in zip(found, ("loss_train", "loss_test_last"), strict=True):
        column = metrics[name].cast(float).fill_null(np.inf).fill_nan(np.inf).to_numpy()
        values[places[whole].astype(int)] = column[whole]
    return found[0], found[1]
