"""Draw how far gradients reach back."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hw2exp.diagnostics.statistics import quartiles
from hw2exp.theory.drawing import save
from hw2exp.theory.reach import Reach, farthest_mark

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_reach(states: Mapping[str, Mapping[str, Reach]], path: Path) -> None:
    """Draw :func:`reach_figure` into an image file of an existing folder."""
    save(reach_figure(states), path)


def reach_figure(states: Mapping[str, Mapping[str, Reach]]) -> "Figure":
    """Plot median and quartiles of the norms against the lag, a panel for each training state.

    Args:
        states: the reaches by model, for each state of training.
    """
    from matplotlib.figure import Figure

    figure = Figure((4.8 * len(states) + 1.3, 3.8), layout="constrained")
    panels: Any = np.atleast_1d(figure.subplots(1, len(states)))
    for axes, (state, found) in zip(panels, states.items(), strict=True):
        for color, reach in enumerate(found.values()):
            lags = np.arange(1, reach.logarithms.shape[1] + 1)
            low, middle, high = quartiles(reach.logarithms / math.log(10), axis=0)
            axes.plot(lags, middle, color=f"C{color}", label=reach.model)
            axes.fill_between(lags, low, high, color=f"C{color}", alpha=0.15, linewidth=0)
        axes.axhline(0, color="gray", linewidth=0.8, linestyle=":")
        axes.axvline(farthest_mark(), color="gray", linewidth=0.8, linestyle=":")
        trained = any(reach.trained for reach in found.values())
        axes.set(title=state, xlabel="lag T − t", ylim=(-16, 3) if trained else (-33, 3))
    panels[0].set_ylabel("log₁₀ ‖∂h[T]/∂h[t]‖, median and quartiles")
    panels[-1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure
