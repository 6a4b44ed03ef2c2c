"""Draw loss curves: of every arm, and around the highest spikes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hw2exp.diagnostics.statistics import Floats, quartiles
from hw2exp.records.arms import Arm, Run
from hw2exp.records.figure_style import BLUE, GRAY, ORANGE, RED, loss_axis
from hw2exp.records.step_table import STEP
from hw2exp.report.style import HIGHEST, folded, grid, label_outer

if TYPE_CHECKING:
    from matplotlib.figure import Figure


POINTS = 300
"""Most points of a band; with more steps, each point covers several."""


@dataclass(frozen=True)
class Curve:
    """A metric that is drawn against the training step.

    Args:
        column: its column in a run's metrics.
        label: its label on an axis.
        worst: its worst value, which a diverged run has.
    """

    column: str
    label: str
    worst: float = np.inf


CURVES = {
    "loss": Curve("loss_train_max", "training loss"),
    "accuracy": Curve("accuracy_train", "training accuracy", worst=0.0),
    "grad_norm": Curve("grad_norm_raw_max", "gradient norm"),
    "test_loss": Curve("loss_test", "test loss"),
    "test_accuracy": Curve("accuracy_test", "test accuracy", worst=0.0),
}


@dataclass(frozen=True)
class Band:
    """A metric of an arm's R runs against the training step.

    Args:
        steps: the last step that each point covers, ``(n,)``.
        low: the lower quartile over runs, ``(n,)``.
        middle: the median, ``(n,)``.
        high: the upper quartile, ``(n,)``.
        runs: each run's curve, at the worst value after the run diverged, ``(R, n)``.
    """

    steps: Floats
    low: Floats
    middle: Floats
    high: Floats
    runs: Floats


def loss_band(arm: Arm) -> Band:
    """Return the band of the training loss."""
    return band_of(arm, CURVES["loss"])


def band_of(arm: Arm, curve: Curve) -> Band:
    """Return the band of a metric; each point is the worst value of its steps.

    A run that was stopped once solved stays at its last value; a diverged run is at the worst.
    """
    last = max(run.result.step for run in arm.runs.values())
    edges = np.unique(np.linspace(0, last, POINTS + 1).round())[1:]  # (n,)
    curves = np.stack([_sampled(run, edges, curve) for run in arm.runs.values()])  # (R, n)
    low, middle, high = quartiles(curves, axis=0)
    return Band(edges, low, middle, high, curves)


def _sampled(run: Run, edges: Floats, curve: Curve) -> Floats:
    """Return the worst value between each edge and the one before; gaps hold the last value."""
    metrics = run.metrics().drop_nulls(curve.column)
    steps = metrics[STEP].to_numpy()
    values = np.nan_to_num(metrics[curve.column].to_numpy().astype(float), nan=curve.worst)
    sign = 1.0 if curve.worst > 0 else -1.0  # 1 if larger values are worse
    places = np.searchsorted(edges, steps)  # (rows,)
    points = np.full(len(edges), -np.inf)
    np.maximum.at(points, places[places < len(edges)], sign * values[places < len(edges)])
    if run.result.diverged_at is not None:
        points[np.searchsorted(edges, run.result.diverged_at) :] = sign * curve.worst
    return sign * _held(points, sign * curve.worst)


def _held(points: Floats, unknown: float) -> Floats:
    """Fill gaps (-∞) with the value before, else with the first; without any, with ``unknown``."""
    known = np.flatnonzero(points > -np.inf)
    if not len(known):
        return np.full(len(points), unknown)
    places = np.searchsorted(known, np.arange(len(points)), side="right") - 1
    return points[known[np.maximum(places, 0)]]


def examples(arm: Arm, count: int) -> Sequence[int]:
    """Return the places in the arm of at most ``count`` runs, evenly spread by number of spikes."""
    by_spikes = np.argsort([len(result.spikes) for result in arm.results], kind="stable")
    picked = np.linspace(0, len(by_spikes) - 1, min(count, len(by_spikes))).round().astype(int)
    return [int(place) for place in by_spikes[picked]]


ALONE = 3
"""Most single runs drawn in addition to an arm's band."""


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
        for place in examples(arm, ALONE):
            axes.plot(band.steps, band.runs[place], color=ORANGE, linewidth=0.5, alpha=0.8)
        draw_band(axes, band, 10 * top, color=BLUE, linewidth=1.3)
        axes.axhline(arm.config.task.initial_loss, color=GRAY, linewidth=0.7, linestyle="--")
        loss_axis(axes, top)
        axes.set_title(folded(name), fontsize=8)
    label_outer(panels, "training step", "loss")
    return figure


def draw_band(axes: Any, band: Band, highest: float, **look: Any) -> None:
    """Draw the median as a line and the quartiles as a band.

    Args:
        axes: the panel.
        band: the band.
        highest: a value above the visible range, at which larger and infinite values are drawn.
        look: options of matplotlib's ``plot``, a color among them.
    """
    low, middle, high = np.minimum([band.low, band.middle, band.high], highest)
    axes.fill_between(band.steps, low, high, color=look["color"], alpha=0.25, linewidth=0)
    axes.plot(band.steps, middle, **look)


def curves_caption(arms: Sequence[Arm]) -> str:
    """Write the caption of the loss curves."""
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
    chance = " or ".join(dict.fromkeys(f"ln {len(arm.config.task.classes)}" for arm in arms))
    scale = "If losses exceed 4, the scale is logarithmic above 2."
    return f"Training loss{what}. Dashed: {chance}. {scale}"


SPIKES = 6

BEFORE_SPIKE, AFTER_SPIKE = 60, 40
"""Steps before and after a spike's peak that the gallery shows."""


def gallery(arms: Sequence[Arm]) -> "Figure | None":
    """Draw loss and gradient norm around the highest spikes, one per run; None without spikes."""
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
    """Write the caption of the gallery."""
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
