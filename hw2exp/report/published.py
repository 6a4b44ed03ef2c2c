"""Measure the shape of the notebook's published curve (section 8) in runs, by epoch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw2exp.records.arms import Arm, Run

Floats = NDArray[np.float64]

EPOCH = 31
"""Batches in an epoch of the notebook."""
FALLEN = 1.3
"""A run has left the plateau at ln 4 once its training loss falls below this."""
SPIKE = 1.5
"""An epoch's loss above this is a spike above the initial loss, ln 4."""
ENDS_WELL = 0.95
"""The least test accuracy with which a run ends well."""

PLATEAUS = 12, 14, 22, 17, 18, 15, 10, 14, 35, 19, 13, 26, 25, 24, 10, 15
SPIKING = 14, 16
ENDING_WELL = 12, 16
"""Reference values: torch's own LSTM in a plain loop, seeds 1 to 16, measured by
``scripts/notebook_reference.py``: epochs on the plateau by seed, runs with such a spike, runs that
end well, the last two out of 16. Off the plateau a curve is chaotic: another build of torch gave 13
and 11."""


@dataclass(frozen=True)
class Curves:
    """The curves of R runs as the notebook plots them, one value per epoch.

    Args:
        train: the loss of each epoch's last training batch, ``(R, epochs)``.
        test: the loss of the last test batch after each epoch, ``(R, epochs)``.
        accuracy: the accuracy of the last test pass, ``(R,)``.
    """

    train: Floats
    test: Floats
    accuracy: Floats

    @property
    def plateau(self) -> Floats:
        """Return the epochs before the first with a loss below ``FALLEN``; else ∞, ``(R,)``."""
        fallen = self.train < FALLEN
        return np.where(fallen.any(1), fallen.argmax(1), np.inf)

    @property
    def highest(self) -> Floats:
        """Return the largest training or test loss, ``(R,)``."""
        return np.asarray(np.fmax(self.train, self.test).max(1))

    @property
    def spiking(self) -> int:
        """Return the number of runs whose training or test loss has a spike."""
        return int((self.highest > SPIKE).sum())

    @property
    def ending_well(self) -> int:
        """Return the number of runs that end well."""
        return int((self.accuracy >= ENDS_WELL).sum())


@dataclass(frozen=True)
class Published(Curves):
    """The curves of an arm.

    Args:
        arm: the arm.
    """

    arm: Arm


def published(arms: Sequence[Arm]) -> list[Published]:
    """Return the curves of the arms that train as in the notebook's section 8.

    Args:
        arms: all arms.
    """
    return [_of(arm) for arm in arms if _is_section_8(arm)]


def _is_section_8(arm: Arm) -> bool:
    wanted = {
        "model": "lstm",
        "model.hidden_size": 12,
        "task": "moderate",
        "task.stream": "notebook",
        "optimizer": "rmsprop",
        "optimizer.lr": 0.001,
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
    """Return the training and test loss at each epoch's end, ``(epochs,)`` each; ∞ if not finite.

    Epochs without a row, as after a divergence, are infinite too.
    """
    metrics = run.metrics()
    found = np.full((2, epochs), np.inf)
    places = metrics["step"].to_numpy() / EPOCH - 1
    whole = (places == np.floor(places)) & (places < epochs)
    for values, name in zip(found, ("loss_train", "loss_test_last"), strict=True):
        column = metrics[name].cast(float).fill_null(np.inf).fill_nan(np.inf).to_numpy()
        values[places[whole].astype(int)] = column[whole]
    return found[0], found[1]
