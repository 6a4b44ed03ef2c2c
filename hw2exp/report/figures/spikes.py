"""Draw the effect of cures on spikes, the highest spikes, and the steps after explosions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hw2exp.diagnostics.statistics import quartiles
from hw2exp.records.arm_pairs import setting_of
from hw2exp.records.arms import Arm, Run
from hw2exp.records.figure_style import BLUE, GRAY, ORANGE, RED
from hw2exp.report.aftermath import (
    AFTER,
    BEFORE,
    LEARNED,
    PLATEAU,
    Aftermath,
    Around,
    Stage,
)
from hw2exp.report.figures.solving import by_setting, one_legend
from hw2exp.report.figures.style import folded, grid, label_outer, new_figure, panels_of
from hw2exp.report.measures import Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPIKES = 6
BEFORE_SPIKE, AFTER_SPIKE = 60, 40
"""Steps before and after a spike's peak that the gallery shows."""


def cures(compared: Sequence[Comparison]) -> "Figure":
    """Draw each cure's difference in spikes from no cure, with its interval.

    Args:
        compared: all comparisons; one panel per model and optimizer.
    """
    arms = [each.cured for each in compared]
    names = list(dict.fromkeys(_name(each) for each in compared))
    figure, panels = by_setting(arms, 0.7 + 0.19 * len(names), sharey=True)
    for each in compared:
        estimate, decided = each.spikes, each.verdict in ("fewer", "more")
        color = GRAY if not decided else BLUE if estimate.value < 0 else RED
        place = names.index(_name(each)) + (0.22 if each.own_rate else -0.12)
        axes = panels[setting_of(each.cured)]
        axes.plot([estimate.low, estimate.high], [place, place], color=color, linewidth=1.4)
        face = "white" if each.own_rate else color
        axes.plot(
            estimate.value,
            place,
            "o" if each.comparable else "x",
            color=color,
            markersize=3.6,
            markerfacecolor=face,
        )
    for setting, axes in panels.items():
        own = [each for each in compared if setting_of(each.cured) == setting]
        axes.axvline(0, color=GRAY, linewidth=0.8)
        largest = max((_extent(each) for each in own), default=0)
        if largest > 20 * min((_extent(each) for each in own), default=1):
            axes.set_xscale("symlog", linthresh=1)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(len(names) - 0.4, -0.6)
    figure.supxlabel(
        "spikes per 1,000 steps: with the cure less without, mean over seeds and 95 %", fontsize=8
    )
    return figure


def _name(compared: Comparison) -> str:
    return compared.cured.cures


def _extent(compared: Comparison) -> float:
    return max(abs(compared.spikes.low), abs(compared.spikes.high), 1e-3)


def gallery(arms: Sequence[Arm]) -> "Figure | None":
    """Draw loss and gradient norm around the highest spikes, at most one spike per run.

    Args:
        arms: all arms.

    Returns:
        The figure; None if there are no spikes.
    """
    found = [
        (float(max(own, key=_height)["loss"]), arm, run, max(own, key=_height))
        for arm in arms
        for run in arm.runs.values()
        if (own := run.result.spikes)
    ]
    highest = sorted(found, key=lambda each: -each[0])[:SPIKES]
    if not highest:
        return None
    figure, panels = grid(len(highest), height=2.2)
    for axes, (loss, arm, run, spike) in zip(panels, highest, strict=True):
        _draw_spike(axes, run, int(spike["step"]), loss)
        axes.set_title(f"{folded(arm.name)}\nseed {run.config.seed}", fontsize=7.5)
    label_outer(panels, "training step", "loss (blue), gradient norm (orange)")
    return figure


def gallery_caption(arms: Sequence[Arm]) -> str:
    """Write the caption of the gallery.

    Args:
        arms: all arms.
    """
    spiking = sum(bool(result.spikes) for arm in arms for result in arm.results)
    whose = "the run" if spiking == 1 else f"each of {min(spiking, SPIKES)} runs"
    return (
        f"The highest spike of {whose}: training loss and gradient norm, each the largest since "
        "the row of the metrics before. Dashed: the loss before training."
    )


def _height(spike: Any) -> float:
    return float(spike["loss"])


def _draw_spike(axes: Any, run: Run, step: int, loss: float) -> None:
    metrics = run.metrics()
    steps = metrics["step"].to_numpy()
    near = (steps >= step - BEFORE_SPIKE) & (steps <= step + AFTER_SPIKE)
    for name, color in (("grad_norm_raw_max", ORANGE), ("loss_train_max", BLUE)):
        values = metrics[name].to_numpy().astype(float)
        axes.plot(steps[near], values[near], color=color, linewidth=1.0, marker=".", markersize=2)
    axes.axhline(run.result.initial["loss"], color=GRAY, linewidth=0.7, linestyle="--")
    # The peak's loss belongs to the first row from its step on; rows may be several steps apart.
    row = next((at for at in steps if at >= step), step)
    axes.plot(row, loss, "v", color=RED, markersize=5)
    axes.set_yscale("log")


def after_explosions(found: Sequence[Aftermath]) -> "Figure":
    """Draw the size of parameter updates and the number of spikes after an explosion.

    Args:
        found: the aftermaths of arms; one row of panels per stage of learning.
    """
    stages = [stage for stage in Stage if any(stage in each.stages for each in found)]
    figure = new_figure(10.0, 2.8 * len(stages) + 0.4)
    panels = panels_of(figure, len(stages), 2, sharex="col")
    for (moves, spikes), stage in zip(panels, stages, strict=True):
        for place, each in enumerate(found):
            if stage in each.stages:
                _draw_around(moves, spikes, each.stages[stage], f"C{place}", each.arm.name)
        moves.set(yscale="log", ylabel="size of a parameter step")
        spikes.set(ylabel="spikes begun since", xlim=(0, AFTER))
        for axes in (moves, spikes):
            axes.axvline(0, color=GRAY, linewidth=0.7, linestyle="--")
            axes.set_title(f"{stage}", loc="left", fontsize=8)
        moves.axhline(1, color=GRAY, linewidth=0.7)
    for axes in panels[-1]:
        axes.set_xlabel("steps from an exploding gradient")
    one_legend(figure, panels[:, 1])
    return figure


def _draw_around(moves: Any, spikes: Any, around: Around, color: str, name: str) -> None:
    low, middle, high = quartiles(around.updates, axis=0)
    moves.fill_between(around.steps, low, high, color=color, alpha=0.15, linewidth=0)
    moves.plot(around.steps, middle, color=color)
    after = np.arange(1, AFTER + 1)
    spikes.plot(after, around.begun, color=color, label=folded(name, 30))
    spikes.plot(after, around.expected * after / AFTER, color=color, linewidth=0.7, linestyle=":")


CURES = (
    "The difference in spikes per 1,000 steps on the same seeds, its mean and 95 % interval. "
    "Colored where it is decided (a p-value, corrected for the number of comparisons, below 0.05): "
    "blue fewer, red more. A cross: more runs diverge on one side, so spikes decide nothing. "
    "Hollow: at the cure's own learning rate, not that of the arm without."
)
AFTERMATH = (
    "From an explosion on: a gradient whose norm exceeds ten times its running median, with no "
    f"other in the {BEFORE} steps before. By the median loss of these steps: plateau {PLATEAU:g} "
    f"or more, learned below {LEARNED:g}. Left: how far the parameters move at a step, relative to "
    "the steps before; median and quartiles over runs. Right: how many spikes have begun since, a "
    "mean over explosions; dotted: how many begin in as many steps of the stage, wherever these "
    "are. Of runs that log every step."
)
