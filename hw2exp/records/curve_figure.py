"""Draw the curves of a run: loss with its spikes, accuracy, gradient norm, learning rate."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hw2exp.config.run_files import CURVES
from hw2exp.records.figure_style import (
    BLUE,
    GRAY,
    LOG_FROM,
    RED,
    STYLE,
    VERMILION,
    encoded,
    figure_style,
    loss_axis,
    short,
)
from hw2exp.records.metrics import MetricsTable
from hw2exp.records.spike import Spike
from hw2exp.system import disk
from hw2exp.system.problems import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEST_LINE: dict[str, Any] = {"color": VERMILION, "linewidth": 1.2, "marker": ".", "markersize": 4}

LABELED_SPIKES = 20
"""The most spikes that are numbered: the highest ones."""

APART = 0.015, 0.05
"""The least distance between two numbers, across and up, as shares of the panel."""

DPI = 130
"""Pixels per inch of ``curve.png``."""


def draw_curve(
    table: MetricsTable,
    spikes: Sequence[Spike],
    title: str,
    folder: Path,
    initial_loss: float | None = None,
    diverged_at: int | None = None,
    classes: int = 4,
) -> None:
    """Draw ``curve.png`` and ``curve.svg`` into a run's folder, see :func:`curve_pictures`."""
    content = curve_pictures(table, spikes, title, initial_loss, diverged_at, classes)
    for name, each in zip(CURVES, content, strict=True):
        disk.write(folder / name, each, sync=False)


def curve_pictures(
    table: MetricsTable,
    spikes: Sequence[Spike],
    title: str,
    initial_loss: float | None = None,
    diverged_at: int | None = None,
    classes: int = 4,
    kinds: Sequence[str] = ("png", "svg"),
    dpi: int = DPI,
) -> list[bytes]:
    """Return pictures of a run's curves.

    Args:
        table: the run's metrics.
        spikes: the spikes of its training loss.
        title: the figure's title.
        initial_loss: the loss before training, drawn as a point at step 0.
        diverged_at: the step at which the run turned non-finite, if it did.
        classes: the number of the task's classes, C; lines mark the loss ln C and the accuracy 1/C.
        kinds: the kinds of files, see :func:`encoded`.
        dpi: pixels per inch of a PNG.
    """
    # A line through a single point would be invisible.
    with figure_style({**STYLE, "lines.marker": "." if len(table) == 1 else "None"}):
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(8, 8))
        # Fixed places: a layout engine would draw everything twice, too slow for a sweep.
        places = {"left": 0.1, "right": 0.98, "bottom": 0.06, "top": 0.93, "hspace": 0.09}
        loss, accuracy, norm, lr = figure.subplots(
            4, 1, sharex=True, height_ratios=[3, 1.4, 1.6, 0.8], gridspec_kw=places
        )
        figure.suptitle(title, fontsize=11)
        _draw_loss(loss, table, spikes, initial_loss, classes)
        _mark_divergence(loss, diverged_at)
        _draw_accuracy(accuracy, table, classes)
        _draw_norm(norm, table)
        _draw_lr(lr, table)
        lr.set_xlabel("training step")
        lr.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
        for axes in (loss, accuracy, norm, lr):
            axes.yaxis.set_label_coords(-0.085, 0.5)
        return [encoded(figure, kind, dpi=dpi if kind == "png" else "figure") for kind in kinds]


def _draw_loss(
    axes: "Axes",
    table: MetricsTable,
    spikes: Sequence[Spike],
    initial_loss: float | None,
    classes: int,
) -> None:
    largest = table.column("loss_train_max")
    _draw_with_envelope(axes, table, "loss_train", "train")
    test = table.column("loss_test")
    tested = np.isfinite(test)
    if tested.any():
        axes.plot(table.steps[tested], test[tested], label="test", **TEST_LINE)
    if initial_loss is not None:
        axes.plot([0], [initial_loss], "o", color=BLUE, markersize=3, label="before training")
    chance = math.log(classes)
    label = f"ln {classes}"
    axes.axhline(chance, color=GRAY, linewidth=0.8, linestyle="--", marker="", label=label)
    seen = np.concatenate([largest, test, [spike.loss for spike in spikes]])
    top = float(np.max(seen[np.isfinite(seen)], initial=chance))
    logarithmic = loss_axis(axes, top, near=(0, 0.5, 1, 1.5, 2), decades=5, room=1.25)
    if logarithmic:
        # Leave room for the labels and the legend, for any number of decades.
        axes.set_ylim(0, top * (top / LOG_FROM) ** 0.3 * 3)
    _mark_spikes(axes, spikes)
    axes.set_ylabel("loss, logarithmic above 2" if logarithmic else "loss")
    tight = {"columnspacing": 1.2, "handlelength": 1.6}
    axes.legend(loc="upper left", frameon=False, ncols=6, fontsize=8, **tight)


def _draw_with_envelope(axes: "Axes", table: MetricsTable, name: str, label: str) -> None:
    """Draw a column, and behind it the largest values since the previous row if they differ."""
    values, largest = table.column(name), table.column(f"{name}_max")
    if not np.array_equal(values, largest, equal_nan=True):
        about = f"{label}, largest of the steps between"
        axes.plot(table.steps, largest, color=BLUE, alpha=0.4, linewidth=0.7, label=about)
    axes.plot(table.steps, values, color=BLUE, linewidth=0.7, label=label)


def _mark_spikes(axes: "Axes", spikes: Sequence[Spike]) -> None:
    if not spikes:
        return
    from matplotlib.transforms import ScaledTranslation

    above = axes.transData + ScaledTranslation(0, 4 / 72, axes.figure.dpi_scale_trans)
    axes.plot(
        [spike.step for spike in spikes],
        [spike.loss for spike in spikes],
        linestyle="none",
        marker="v",
        markersize=4,
        color=RED,
        label=f"{counted(len(spikes), 'spike')} (--spike N)",
        transform=above,
    )
    for number in _labeled(axes, spikes):
        spike = spikes[number - 1]
        axes.annotate(
            str(number),
            (spike.step, spike.loss),
            xytext=(0, 8),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            color=RED,
        )


def _labeled(axes: "Axes", spikes: Sequence[Spike]) -> list[int]:
    """Choose the numbers, from 1, of the highest spikes whose labels don't overlap."""
    to_shares = axes.transData - axes.transAxes
    at = {
        number: to_shares.transform((spike.step, spike.loss))
        for number, spike in enumerate(spikes, 1)
    }
    chosen: list[int] = []
    for number in sorted(at, key=lambda number: -spikes[number - 1].loss):
        near = (abs(at[number] - at[other]) < APART for other in chosen)
        if len(chosen) < LABELED_SPIKES and not any(both.all() for both in near):
            chosen.append(number)
    return chosen


def _mark_divergence(axes: "Axes", step: int | None) -> None:
    if step is not None:
        axes.axvline(step, color=RED, linewidth=1.0, linestyle=":", marker="")
        axes.annotate(
            f"diverged at step {step:,}",
            (step, 0.12),
            xycoords=("data", "axes fraction"),
            xytext=(-4, 0),
            textcoords="offset points",
            ha="right",
            color=RED,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
        )


def _draw_accuracy(axes: "Axes", table: MetricsTable, classes: int) -> None:
    steps, test = table.steps, table.column("accuracy_test")
    tested = np.isfinite(test)
    axes.plot(steps, table.column("accuracy_train"), color=BLUE, linewidth=0.4, alpha=0.6)
    axes.plot(steps[tested], test[tested], **TEST_LINE)
    axes.axhline(1 / classes, color=GRAY, linewidth=0.8, linestyle="--", marker="")
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("accuracy")


def _draw_norm(axes: "Axes", table: MetricsTable) -> None:
    raw, clipped = table.column("grad_norm_raw"), table.column("grad_norm_clipped")
    _draw_with_envelope(axes, table, "grad_norm_raw", "raw")
    if not np.array_equal(raw, clipped, equal_nan=True):
        axes.plot(table.steps, clipped, color=VERMILION, linewidth=0.7, label="clipped")
    if (raw[np.isfinite(raw)] > 0).any():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: short(value))
        bottom, top = axes.get_ylim()
        axes.set_ylim(bottom, top * (top / bottom) ** 0.2)  # room for the legend
    if len(axes.lines) > 1:
        axes.legend(loc="upper left", frameon=False, ncols=3, fontsize=8)
    axes.set_ylabel("gradient norm")


def _draw_lr(axes: "Axes", table: MetricsTable) -> None:
    lr = table.column("lr")
    axes.plot(table.steps, lr, color=BLUE, linewidth=1.0)
    axes.set_ylim(0, 1.15 * float(np.max(lr[np.isfinite(lr)], initial=1e-12)))
    axes.set_ylabel("learning rate")
