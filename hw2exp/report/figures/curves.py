"""Draw loss curves: of every arm, and as the notebook plots them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hw2exp.records.arms import Arm
from hw2exp.records.figure_style import BLUE, GRAY, ORANGE, RED
from hw2exp.records.metrics import INITIAL_LOSS
from hw2exp.report.figures.style import HIGHEST, folded, grid, label_outer, loss_axis
from hw2exp.report.mean_curves import examples, loss_band
from hw2exp.report.published import ENDING_WELL, PLATEAUS, SPIKE, SPIKING, Published

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALONE = 3
"""Most single runs drawn in addition to an arm's band."""
NOTEBOOK_SEED = 1
"""The seed with which the notebook builds its network."""


def curves(arms: Sequence[Arm], names: Sequence[str]) -> "Figure | None":
    """Draw the training loss, one panel per arm: median, quartiles, and a few single runs.

    Args:
        arms: at most ``MOST_ARMS`` arms.
        names: the titles of their panels.

    Returns:
        The figure; None if no run has logged a finite loss.
    """
    bands = [loss_band(arm) for arm in arms]
    finite = [band.runs[np.isfinite(band.runs)] for band in bands]
    if not any(each.size for each in finite):
        return None
    figure, panels = grid(len(arms), height=2.1)
    top = min(max((float(each.max()) for each in finite if each.size), default=0), HIGHEST)
    for axes, arm, band, name in zip(panels, arms, bands, names, strict=True):
        shown = np.minimum([band.low, band.middle, band.high], 10 * top)
        axes.fill_between(band.steps, shown[0], shown[2], color=BLUE, alpha=0.25, linewidth=0)
        for place in examples(arm, ALONE):
            axes.plot(band.steps, band.runs[place], color=ORANGE, linewidth=0.5, alpha=0.8)
        axes.plot(band.steps, shown[1], color=BLUE, linewidth=1.3)
        axes.axhline(INITIAL_LOSS, color=GRAY, linewidth=0.7, linestyle="--")
        loss_axis(axes, top)
        axes.set_title(folded(name), fontsize=8)
    label_outer(panels, "training step", "loss")
    return figure


def published_curves(found: Sequence[Published]) -> "Figure":
    """Draw the loss of each epoch's last training batch for all seeds, one panel per arm.

    Args:
        found: the arms' curves.
    """
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


def curves_caption(arms: Sequence[Arm]) -> str:
    """Write the caption of the loss curves.

    Args:
        arms: the arms in the figure.
    """
    most = max(len(arm.runs) for arm in arms)
    what = ": the median over seeds (line), the quartiles (band), and "
    if most == 1:
        what = ""
    elif most <= ALONE:
        what += "each run (thin)"
    else:
        what += (
            "three single runs (thin): that with the fewest spikes, that with the most, and one "
            "between"
        )
    return f"Training loss{what}. Dashed: ln 4. Above 2 the scale is logarithmic."
