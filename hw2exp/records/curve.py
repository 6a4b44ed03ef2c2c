"""The picture of a run: loss with its spikes, accuracy, gradient norm, learning rate."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hw2exp.diagnostics.spikes import Spike
from hw2exp.records.metrics import MetricsTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's colors, which color-blind readers can tell apart.
TRAIN, TEST, SPIKE, QUIET = "#0072B2", "#D55E00", "#CC3311", "#888888"

LINEAR_UP_TO = 2.0
"""Losses above are drawn on a logarithmic scale, so that a spike of 1,000 leaves the rest legible."""

LABELED_SPIKES = 8


def draw_curve(table: MetricsTable, spikes: Sequence[Spike], title: str, folder: Path) -> None:
    """Draw ``curve.png`` and ``curve.svg``.

    Args:
        table: the run's metrics.
        spikes: the spikes of its training loss.
        title: what to write above.
        folder: the run folder.
    """
    import matplotlib
    from matplotlib.figure import Figure

    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
             "svg.hashsalt": "hw2exp", "svg.fonttype": "none"}  # fmt: skip
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(8, 8), layout="constrained")
        heights = [3, 1.4, 1.6, 0.8]
        loss, accuracy, norm, lr = figure.subplots(4, 1, sharex=True, height_ratios=heights)
        figure.suptitle(title, fontsize=11)
        _draw_loss(loss, table, spikes)
        _draw_accuracy(accuracy, table)
        _draw_norm(norm, table)
        _draw_lr(lr, table)
        lr.set_xlabel("training step")
        figure.align_ylabels()
        _save(figure, folder)


def _save(figure: "Figure", folder: Path) -> None:
    figure.savefig(folder / "curve.png", dpi=130)
    figure.savefig(folder / "curve.svg", metadata={"Date": None})


def _draw_loss(axes: "Axes", table: MetricsTable, spikes: Sequence[Spike]) -> None:
    steps, largest = table.steps, table.column("loss_train_max")
    axes.plot(steps, largest, color=TRAIN, linewidth=0.7, label="train")
    tested = np.isfinite(table.column("loss_test"))
    axes.plot(
        steps[tested],
        table.column("loss_test")[tested],
        color=TEST,
        linewidth=1.2,
        marker=".",
        markersize=4,
        label="test",
    )
    axes.axhline(math.log(4), color=QUIET, linewidth=0.8, linestyle="--", label="ln 4, where it starts")
    top = np.nanmax(np.where(np.isfinite(largest), largest, np.nan), initial=math.log(4))
    if top > 2 * LINEAR_UP_TO:
        axes.set_yscale("symlog", linthresh=LINEAR_UP_TO, linscale=2.0)
        decades = range(1, math.ceil(math.log10(top)) + 1)
        every = max(1, len(decades) // 4)
        axes.set_yticks([0, 0.5, 1, 1.5, 2, *(10.0**d for d in decades[::every])], minor=False)
        axes.set_yticks([], minor=True)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylim(0, 4 * top)
    else:
        axes.set_ylim(0, 1.15 * max(top, 1.5))
    _mark_spikes(axes, spikes, top)
    _mark_divergence(axes, table)
    axes.set_ylabel("loss")
    axes.legend(loc="upper left", frameon=False, ncols=4, fontsize=8)


def _mark_spikes(axes: "Axes", spikes: Sequence[Spike], top: float) -> None:
    if not spikes:
        return
    lift = 1.25 if top > 2 * LINEAR_UP_TO else 1.04
    axes.plot(
        [spike.step for spike in spikes],
        [spike.loss * lift for spike in spikes],
        linestyle="none",
        marker="v",
        markersize=4,
        color=SPIKE,
        label=f"{len(spikes)} spike{'s' * (len(spikes) > 1)}",
    )
    for spike in sorted(spikes, key=lambda s: -s.loss)[:LABELED_SPIKES]:
        axes.annotate(
            f"{spike.loss:.3g}",
            (spike.step, spike.loss * lift),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            color=SPIKE,
        )


def _mark_divergence(axes: "Axes", table: MetricsTable) -> None:
    broken = ~np.isfinite(table.column("loss_train")) | ~np.isfinite(table.column("grad_norm_raw"))
    if broken.any():
        step = int(table.steps[broken][0])
        axes.axvline(step, color=SPIKE, linewidth=1.0, linestyle=":")
        axes.annotate(
            f"diverged at step {step}",
            (step, 0.02),
            xycoords=("data", "axes fraction"),
            xytext=(-4, 0),
            textcoords="offset points",
            ha="right",
            color=SPIKE,
        )


def _draw_accuracy(axes: "Axes", table: MetricsTable) -> None:
    steps, test = table.steps, table.column("accuracy_test")
    tested = np.isfinite(test)
    axes.plot(steps, table.column("accuracy_train"), color=TRAIN, linewidth=0.4, alpha=0.6)
    axes.plot(steps[tested], test[tested], color=TEST, linewidth=1.2, marker=".", markersize=4)
    axes.axhline(0.25, color=QUIET, linewidth=0.8, linestyle="--")
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("accuracy")


def _draw_norm(axes: "Axes", table: MetricsTable) -> None:
    raw, clipped = table.column("grad_norm_raw_max"), table.column("grad_norm_clipped")
    axes.plot(table.steps, raw, color=TRAIN, linewidth=0.7, label="raw")
    if not np.array_equal(table.column("grad_norm_raw"), clipped, equal_nan=True):
        axes.plot(table.steps, clipped, color=TEST, linewidth=0.7, label="clipped")
        axes.legend(loc="upper left", frameon=False, ncols=2, fontsize=8)
    if (raw[np.isfinite(raw)] > 0).any():
        axes.set_yscale("log")
    axes.set_ylabel("gradient norm")


def _draw_lr(axes: "Axes", table: MetricsTable) -> None:
    lr = table.column("lr")
    axes.plot(table.steps, lr, color=TRAIN, linewidth=1.0)
    axes.set_ylim(0, 1.15 * float(lr.max(initial=1e-12)))
    axes.set_ylabel("learning rate")
