"""Compare runs with the notebook's published curve (section 8), by epoch."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hw2exp.diagnostics.paired_tests import SIGNIFICANT
from hw2exp.diagnostics.shares import share
from hw2exp.diagnostics.statistics import Floats, median
from hw2exp.records.arms import Arm, Run
from hw2exp.records.figure_style import BLUE, GRAY, RED
from hw2exp.records.metrics import INITIAL_LOSS
from hw2exp.report.claim import Claim, Evidence, Finding, Judge, Judged
from hw2exp.report.style import grid, label_outer
from hw2exp.report.tables import percent, within

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
"""Reference values of torch's own LSTM in a plain loop, seeds 1 to 16, measured by
``scripts/notebook_reference.py``: the epochs on the plateau by seed, and how many of 16 runs have
such a spike and end well. Off the plateau a curve is chaotic: another build of torch gave 13 and 11
in place of 14 and 12."""


@dataclass(frozen=True)
class PublishedCurves:
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
        """Return the number of epochs before a loss below ``FALLEN``, ∞ without one, ``(R,)``."""
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
class Published(PublishedCurves):
    """The curves of an arm.

    Args:
        arm: the arm.
    """

    arm: Arm


def published(arms: Sequence[Arm]) -> list[Published]:
    """Return the curves of the arms that train as in the notebook's section 8."""
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


NOTEBOOK_SEED = 1
"""The seed with which the notebook builds its network."""


def published_curves(found: Sequence[Published]) -> "Figure":
    """Draw the loss of each epoch's last training batch for all seeds, one panel per arm."""
    figure, panels = grid(len(found), height=2.9)
    finite = [each.train[np.isfinite(each.train)] for each in found]
    top = 1.1 * max((float(each.max()) for each in finite if each.size), default=INITIAL_LOSS)
    for axes, each in zip(panels, found, strict=True):
        epochs = np.arange(1, each.train.shape[1] + 1)
        for seed, losses in zip(each.arm.runs, each.train, strict=True):
            own = seed == NOTEBOOK_SEED
            color, width = (RED, 1.0) if own else (BLUE, 0.4)
            axes.plot(epochs, losses, color=color, linewidth=width, alpha=1 if own else 0.45)
        axes.plot(epochs, np.median(each.train, axis=0), color="black", linewidth=1.3)
        axes.axhline(INITIAL_LOSS, color=GRAY, linewidth=0.7, linestyle="--")
        axes.axhline(SPIKE, color=GRAY, linewidth=0.7, linestyle=":")
        axes.axvline(float(np.median(PLATEAUS)), color=GRAY, linewidth=0.7, linestyle=":")
        axes.set_ylim(0, top)
        runs, name = len(each.arm.runs), each.arm.cures or "no cure, as published"
        counts = f"above {SPIKE}: {each.spiking} of {runs}, end well: {each.ending_well} of {runs}"
        axes.set_title(f"{name}\n{counts}", fontsize=8)
    label_outer(panels, "epoch", "loss of its last batch")
    return figure


PUBLISHED = (
    "The notebook's network on the notebook's draws: the loss of each epoch's last training batch, "
    "a line a seed, black the median, red the notebook's own seed if it is there. Dashed: ln 4. "
    f"Dotted: the loss {SPIKE} and epoch {np.median(PLATEAUS):g}, the median at which "
    f"{len(PLATEAUS)} runs by torch's own modules leave the plateau; of these {SPIKING[0]} rise "
    f"above {SPIKE} and {ENDING_WELL[0]} end well."
)


def same_plateau(evidence: Evidence) -> Iterable[Judged]:
    """Judge whether the loss stays at ln 4 for as long as in the reference runs."""
    from scipy.stats import mannwhitneyu

    for each in _plain(evidence.arms):
        found = median(each.plateau)
        p = float(mannwhitneyu(each.plateau, PLATEAUS).pvalue)
        numbers = (
            f"median {within(found, '{:.0f}'.format)} epochs against {np.median(PLATEAUS):g}, "
            f"p = {p:.2g}"
        )
        yield Judged(
            each.arm.name, Finding.REFUTED if p < SIGNIFICANT else Finding.SUPPORTED, numbers
        )


def agrees(count: Callable[[Published], int], theirs: tuple[int, int]) -> Judge:
    """Return the judge of whether as many runs have a property as in the reference runs.

    Args:
        count: the function that counts an arm's runs with the property.
        theirs: the number of reference runs with the property, and of all reference runs.
    """

    def judge(evidence: Evidence) -> Iterable[Judged]:
        from scipy.stats import fisher_exact

        for each in _plain(evidence.arms):
            own, runs = count(each), len(each.train)
            table = [[own, runs - own], [theirs[0], theirs[1] - theirs[0]]]
            p = float(fisher_exact(table).pvalue)
            ours = share(own, runs)
            numbers = (
                f"{own} of {runs} ({within(ours, percent)}) against "
                f"{theirs[0]} of {theirs[1]}, p = {p:.2g}"
            )
            finding = Finding.REFUTED if p < SIGNIFICANT else Finding.SUPPORTED
            yield Judged(each.arm.name, finding, numbers)

    return judge


def _plain(arms: Sequence[Arm]) -> list[Published]:
    return [each for each in published(arms) if not each.arm.cures]


CLAIMS = (
    Claim(
        "the notebook",
        f"The loss stays at 1.39 for {np.median(PLATEAUS):g} epochs in the median, as with torch",
        f"epochs before one whose last training batch has a loss below {FALLEN}: refuted if the "
        f"Mann–Whitney test tells ours from those of {len(PLATEAUS)} runs by torch's own modules "
        f"at {SIGNIFICANT}",
        same_plateau,
    ),
    Claim(
        "the notebook",
        f"In {SPIKING[0]} of {SPIKING[1]} runs an epoch's loss exceeds {SPIKE}",
        "as many of ours do: refuted if Fisher's exact test tells them apart at "
        f"{SIGNIFICANT} (16 runs tell little apart)",
        agrees(lambda each: each.spiking, SPIKING),
    ),
    Claim(
        "the notebook",
        f"{ENDING_WELL[0]} of {ENDING_WELL[1]} runs end at a test accuracy of {ENDS_WELL} or more",
        "likewise",
        agrees(lambda each: each.ending_well, ENDING_WELL),
    ),
)
