"""Draw a run's loss and diagnostics against the training step, to show why the run blew up."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hw2exp.diagnostics.statistics import Floats
from hw2exp.records.figure_style import BLUE, GRAY, ORANGE, RED, loss_axis
from hw2exp.report.before_spikes import NEAR, Phase, phases
from hw2exp.report.diagnosed import Diagnosed, Steps
from hw2exp.report.style import panels_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


MOST_COLUMNS = 800
"""Most columns of a heat map; with more looks, each column shows the largest of several."""

TOP_LOSS = 1e6

TINY, HUGE = 1e-45, 1e38
"""The range of single precision; a run can't produce numbers beyond it."""

DEEP = 1e-8
"""The lower end of the color scale of a gradient, relative to the largest norm."""


def why_figure(looked: Diagnosed) -> "Figure":
    """Draw each diagnostic of a run that was measured, below the loss."""
    drawn = [(height, draw) for height, names, draw in PANELS if _any(looked, names)]
    heights = [1.5, *(height for height, _ in drawn)]
    shape: dict[str, Any] = {"height_ratios": heights, "width_ratios": (60, 1)}
    # Colorbars have their own column, so that all panels are equally wide and the steps align.
    figure, panels = panels_of(
        10.5, sum(heights) + 0.5, len(heights), 2, sharex="col", gridspec_kw=shape
    )
    for axes, _ in panels:
        axes.tick_params(labelsize=7, which="both")
    _loss(panels[0, 0], looked)
    panels[0, 1].set_axis_off()
    for (axes, bar), (_, draw) in zip(panels[1:], drawn, strict=True):
        if (image := draw(axes, looked)) is None:
            bar.set_axis_off()
        else:
            figure.colorbar(image, cax=bar).ax.tick_params(labelsize=7)
    starts = [spike["start"] for spike in looked.run.result.spikes]
    for axes in panels[:, 0]:
        axes.vlines(starts, 0, 1, transform=axes.get_xaxis_transform(), color=RED,
                    linewidth=0.7, alpha=0.5)  # fmt: skip
        if (diverged := looked.run.result.diverged_at) is not None:
            axes.axvline(diverged, color="black", linewidth=0.9, linestyle="--")
    panels[-1, 0].set_xlim(0, looked.run.result.step + 1)
    panels[-1, 0].set_xlabel("training step", fontsize=8)
    return figure


def _any(looked: Diagnosed, names: tuple[str, ...]) -> bool:
    """Return whether any of the numbers was measured; each list is measured with a number."""
    return any(len(looked.measured(name)[0]) for name in names)


def _title(axes: Any, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=8)


def _loss(axes: Any, looked: Diagnosed) -> None:
    metrics, result = looked.run.metrics(), looked.run.result
    losses = metrics["loss_train_max"].to_numpy().astype(float)
    finite = losses[np.isfinite(losses)]
    top = float(np.clip(1.3 * finite.max(initial=1.0), 1.5, TOP_LOSS))
    axes.plot(metrics["step"].to_numpy(), losses, color=BLUE, linewidth=0.9)
    axes.axhline(result.initial["loss"], color=GRAY, linewidth=0.7, linestyle="--")
    axes.plot(
        [spike["step"] for spike in result.spikes],
        [min(spike["loss"], top) for spike in result.spikes],
        "v", color=RED, markersize=4, linestyle="none",
    )  # fmt: skip
    loss_axis(axes, top)
    _title(axes, "training loss; spikes red")


def _flow(axes: Any, looked: Diagnosed) -> Any:
    from matplotlib.colors import LogNorm

    steps, flow = looked.lists("gradient_flow")
    _title(axes, "how the gradient flows back: ‖∂ℓ/∂h[t]‖")
    axes.set_ylabel("time step t", fontsize=8)
    known = np.where(np.isfinite(flow) & (flow > 0), flow, np.nan).clip(TINY, HUGE)
    if np.isnan(known).all():
        return _nothing(axes)
    high = float(np.nanmax(known))
    low = max(float(np.nanmin(known)), high * DEEP)
    return _heat_map(axes, steps, known, 1, LogNorm(low, max(high, 1.01 * low)))


def _attention(axes: Any, looked: Diagnosed) -> Any:
    from matplotlib.colors import Normalize

    steps, weights = looked.lists("attention")
    _title(axes, "attention: mean weight of the input and of the state at each lag")
    axes.set_ylabel("lag", fontsize=8)
    if not np.isfinite(weights).any():
        return _nothing(axes)
    lags, known = weights.shape[1] - 1, np.where(np.isfinite(weights), weights, np.nan)
    high = float(np.nanmax(known).clip(TINY, HUGE))
    image = _heat_map(axes, steps, known, 0, Normalize(0, high))
    ticks = range(0, lags + 1, max(1, -(-lags // 8)))
    axes.set_yticks(ticks, [str(lag) if lag else "input" for lag in ticks])
    return image


def _nothing(axes: Any) -> None:
    axes.text(0.5, 0.5, "nothing finite above zero", ha="center", color=GRAY, fontsize=8,
              transform=axes.transAxes)  # fmt: skip
    axes.set_yticks([])


def _heat_map(axes: Any, steps: Steps, values: Floats, first: int, norm: Any) -> Any:
    """Draw values with the row ``first`` at the top, a column per look, and gray for no value."""
    starts = np.arange(0, len(steps), max(1, -(-len(steps) // MOST_COLUMNS)))
    values = np.fmax.reduceat(values, starts)  # (columns, length)
    middle = (steps[1:] + steps[:-1]) / 2
    edges = np.concatenate([[steps[0] - 0.5], middle[starts[1:] - 1], [steps[-1] + 0.5]])
    rows = np.arange(values.shape[1] + 1) + first - 0.5
    axes.set_facecolor("#BBBBBB")
    image = axes.pcolormesh(edges, rows, np.ma.masked_invalid(values.T), norm=norm, rasterized=True)
    axes.set_ylim(rows[-1], rows[0])
    return image


FEW = 20
"""Least number of looks that a line joins."""


def _line(axes: Any, looked: Diagnosed, name: str, **look: Any) -> Floats:
    """Draw a number against the step, a dot per look; fewer than ``FEW`` looks have no line."""
    steps, values = looked.measured(name)
    values = values.clip(-HUGE, HUGE)
    few = len(steps) < FEW
    own = {
        "color": BLUE,
        "marker": ".",
        "markersize": 6 if few else 3,
        "linewidth": 0.8 * (not few),
    }
    axes.plot(steps, values, **own | look)
    return values


def _mark_near(axes: Any, looked: Diagnosed, name: str) -> None:
    steps, values = looked.measured(name)
    near = phases(looked.run, steps)[Phase.BEFORE]
    axes.plot(steps[near], values[near].clip(-HUGE, HUGE), ".", color=RED, markersize=6, zorder=3)


def _growth(axes: Any, looked: Diagnosed) -> None:
    values = _line(axes, looked, "gradient_growth")
    _mark_near(axes, looked, "gradient_growth")
    axes.axhline(1, color=GRAY, linewidth=0.8)
    if values.max() > 20:
        axes.set_yscale("log")
    _title(axes, "factor by which the gradient grows with each time step back")


def _entropy(axes: Any, looked: Diagnosed) -> None:
    _line(axes, looked, "attention_entropy")
    _title(axes, "entropy of the attention, in nats")


def _gates(axes: Any, looked: Diagnosed) -> None:
    _line(axes, looked, "gate_mean")
    _line(axes, looked, "gate_saturated", color=ORANGE)
    axes.set_ylim(-0.05, 1.05)
    _title(axes, "gates: share of the state that stays (blue), share of saturated ones (orange)")


def _lyapunov(axes: Any, looked: Diagnosed) -> None:
    _line(axes, looked, "lyapunov")
    steps, values = looked.measured("lyapunov")
    spread = looked.numbers["lyapunov_spread"][np.isfinite(looked.numbers["lyapunov"])]
    low, high = (values + side * np.nan_to_num(spread) for side in (-1, 1))
    ends = [each.clip(-HUGE, HUGE) for each in (low, high)]
    axes.vlines(steps, *ends, color=BLUE, linewidth=3, alpha=0.35)
    axes.axhline(0, color=GRAY, linewidth=0.8)
    _title(axes, "largest Lyapunov exponent along a sequence, its spread over directions (bars)")


def _sharpness(axes: Any, looked: Diagnosed) -> None:
    sharp = _line(axes, looked, "sharpness_preconditioned")
    limit = _line(axes, looked, "sharpness_limit", color="black", marker="", linestyle="--")
    _mark_near(axes, looked, "sharpness_preconditioned")
    if (sharp > 0).any() or (limit > 0).any():
        axes.set_yscale("log")
    _title(axes, "sharpness as the optimizer sees it (blue), its limit (dashed)")


PANELS: tuple[tuple[float, tuple[str, ...], Callable[[Any, Diagnosed], Any]], ...] = (
    (1.9, ("gradient_largest",), _flow),
    (1.2, ("gradient_growth",), _growth),
    (1.3, ("attention_entropy",), _attention),
    (0.9, ("attention_entropy",), _entropy),
    (1.1, ("gate_mean", "gate_saturated"), _gates),
    (1.0, ("lyapunov",), _lyapunov),
    (1.2, ("sharpness_preconditioned",), _sharpness),
)
"""For each panel: height in inches, the numbers of which one must be measured, draw function."""

WHY = (
    "Red lines: where a spike starts; red dots: looks that come at most "
    f"{NEAR} steps before. Black dashed: where the run diverged. In the heat maps gray is what is "
    "zero or not finite, and of many looks a column shows the largest value. Gray lines: the loss "
    "before training; a gradient that neither grows nor shrinks; the edge of chaos."
)
