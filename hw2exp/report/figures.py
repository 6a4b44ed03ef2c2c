"""The report's figures: curves of every arm, who has solved when, what each cure does, spikes."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hw2exp.records.runs import Arm, Run
from hw2exp.report.curves import examples, loss_band
from hw2exp.report.measures import ArmMeasures, Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3
MOST_ARMS = 24
"""Panels or lines of one figure: more are not legible."""
ALONE = 3
"""Single runs that are drawn beside an arm's band."""
SPIKES = 6
BEFORE, AFTER = 60, 40
"""Steps around a spike that the gallery shows."""
BAND, SINGLE, MARK, QUIET = "#0072B2", "#E69F00", "#CC3311", "#888888"
LOG_FROM = 2.0
"""Losses above are drawn on a logarithmic scale, so that a spike of 1,000 hides nothing else."""
HIGHEST = 100.0
"""Curves leave their panels here: one spike of 10⁸ would flatten all others."""
STYLE: dict[Any, Any] = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def curves(arms: Sequence[Arm]) -> "Figure":
    """The training loss, a panel an arm: median, quartiles, and a few runs alone.

    Args:
        arms: at most ``MOST_ARMS``.
    """
    figure, panels = _grid(len(arms), height=2.1)
    bands = [loss_band(arm) for arm in arms]
    finite = [band.runs[np.isfinite(band.runs)] for band in bands]
    top = min(max((float(each.max()) for each in finite if each.size), default=0), HIGHEST)
    for axes, arm, band in zip(panels, arms, bands, strict=True):
        shown = np.minimum([band.low, band.middle, band.high], 10 * top)
        axes.fill_between(band.steps, shown[0], shown[2], color=BAND, alpha=0.25, linewidth=0)
        for place in examples(arm, ALONE):
            axes.plot(band.steps, band.runs[place], color=SINGLE, linewidth=0.5, alpha=0.8)
        axes.plot(band.steps, shown[1], color=BAND, linewidth=1.3)
        axes.axhline(math.log(4), color=QUIET, linewidth=0.7, linestyle="--")
        _loss_axis(axes, top)
        axes.set_title(f"{_folded(arm.name)}", fontsize=8)
    _label_outer(panels, "training step", "loss")
    return figure


def unsolved(measured: Sequence[ArmMeasures]) -> "Figure":
    """The share of runs that have not solved their task yet, a line an arm (Kaplan & Meier).

    Args:
        measured: at most ``MOST_ARMS`` arms.
    """
    figure = _figure(8.0, 0.4 + 3.2)
    axes = figure.subplots()
    last = max(run.config.steps for each in measured for run in each.arm.runs.values())
    for place, each in enumerate(measured):
        curve = each.unsolved
        steps = np.concatenate([[0], curve.times, [last]])
        left = np.concatenate([[1], curve.share, curve.share[-1:] if len(curve.share) else [1]])
        color, style = f"C{place % 10}", ("-", "--", ":")[place // 10 % 3]
        label = _folded(each.arm.name)
        axes.step(steps, left, where="post", color=color, linestyle=style, label=label)
        if len(measured) <= 6 and len(curve.times):
            axes.fill_between(
                curve.times, curve.low, curve.high, step="post", color=color, alpha=0.12
            )
    axes.set(xlabel="training step", ylabel="share of runs unsolved", ylim=(-0.02, 1.02), xlim=0)
    axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def cures(compared: Sequence[Comparison]) -> "Figure":
    """What each cure does to the number of spikes: differences from none, with their intervals.

    Args:
        compared: at most ``MOST_ARMS`` comparisons.
    """
    figure = _figure(8.0, 0.9 + 0.28 * len(compared))
    axes = figure.subplots()
    for place, each in enumerate(compared):
        estimate, decided = each.spikes, each.verdict != "undecided"
        color = QUIET if not decided else BAND if estimate.value < 0 else MARK
        axes.plot([estimate.low, estimate.high], [place, place], color=color, linewidth=1.6)
        axes.plot(estimate.value, place, "o", color=color, markersize=4)
    axes.axvline(0, color=QUIET, linewidth=0.8)
    axes.set_yticks(range(len(compared)), [each.cured.name for each in compared], fontsize=7.5)
    axes.set_ylim(len(compared) - 0.4, -0.6)
    largest = max(abs(end) for each in compared for end in (each.spikes.low, each.spikes.high))
    if largest > 20 * min(_extent(each) for each in compared):
        axes.set_xscale("symlog", linthresh=1)
    axes.set_xlabel("spikes per 1,000 steps: with the cure less without, mean over seeds and 95 %")
    return figure


def _extent(compared: Comparison) -> float:
    return max(abs(compared.spikes.low), abs(compared.spikes.high), 1e-3)


def gallery(arms: Sequence[Arm]) -> "Figure | None":
    """The highest spikes, no two of one run: loss and gradient norm around each; if there are any.

    Args:
        arms: all.
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
    figure, panels = _grid(len(highest), height=2.2)
    for axes, (loss, arm, run, spike) in zip(panels, highest, strict=True):
        _draw_spike(axes, run, int(spike["step"]), loss)
        axes.set_title(f"{_folded(arm.name)}\nseed {run.config.seed}", fontsize=7.5)
    _label_outer(panels, "training step", "loss (blue), gradient norm (orange)")
    return figure


def _height(spike: Any) -> float:
    return float(spike["loss"])


def _draw_spike(axes: Any, run: Run, step: int, loss: float) -> None:
    metrics = run.metrics()
    steps = metrics["step"].to_numpy()
    near = (steps >= step - BEFORE) & (steps <= step + AFTER)
    for name, color in (("grad_norm_raw_max", SINGLE), ("loss_train_max", BAND)):
        values = metrics[name].to_numpy().astype(float)
        axes.plot(steps[near], values[near], color=color, linewidth=1.0, marker=".", markersize=2)
    axes.axhline(run.result.initial["loss"], color=QUIET, linewidth=0.7, linestyle="--")
    axes.plot(step, loss, "v", color=MARK, markersize=5)
    axes.set_yscale("log")


def _figure(width: float, height: float) -> "Figure":
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        return Figure((width, height), layout="constrained")


def _grid(panels: int, height: float) -> tuple["Figure", list[Any]]:
    from matplotlib import rc_context

    columns = min(COLUMNS, panels)
    rows = -(-panels // columns)
    figure = _figure(10.5 * columns / COLUMNS + 0.5, height * rows + 0.3)
    with rc_context(STYLE):
        axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel().tolist()
    for unused in axes[panels:]:
        unused.set_visible(False)
    return figure, axes[:panels]


def _label_outer(panels: Sequence[Any], x: str, y: str) -> None:
    columns = min(COLUMNS, len(panels))
    for place, axes in enumerate(panels):
        if place % columns == 0:
            axes.set_ylabel(y, fontsize=8)
        if place >= len(panels) - columns:
            axes.set_xlabel(x, fontsize=8)


def _loss_axis(axes: Any, top: float) -> None:
    if top <= 2 * LOG_FROM:
        axes.set_ylim(0, 1.1 * max(top, 1.5))
        return
    axes.set_yscale("symlog", linthresh=LOG_FROM, linscale=2.0)
    decades = range(1, math.ceil(math.log10(top)) + 1)
    ticks = [0.0, 1.0, 2.0, *(10.0**power for power in decades[:: math.ceil(len(decades) / 3)])]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
    axes.set_yticks([], minor=True)
    axes.set_ylim(0, top)


def _folded(name: str, width: int = 44) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(name, width, break_long_words=False))
