"""Draw the panels of the loss around the culprit's step."""

from typing import TYPE_CHECKING, Any

import numpy as np

from hw2exp.anatomy.dissection import Dissection
from hw2exp.anatomy.words import ALONG, CLIFF, empty, legend_above
from hw2exp.records.figure_style import BLUE, ORANGE, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _levels(loss: Any) -> Any:
    finite = loss[np.isfinite(loss)]
    low, high = finite.min(), finite.max()
    return np.geomspace(max(low, 1e-4), max(high, 1.01 * low + 1e-3), 24)


def contour(axes: "Axes", seen: Dissection, figure: Any) -> None:
    """Draw the loss on the plane of the step and a random direction, with the path of the steps.

    The figure gets the color bar.
    """
    axes.set_title(f"{CLIFF}: loss of step {seen.steps[seen.culprit]:,}'s batch")
    if seen.cliff is None or not np.isfinite(seen.cliff.loss.numpy()).any():
        empty(axes, "no finite step to draw along")
        return
    from matplotlib.colors import LogNorm

    loss = np.ma.masked_invalid(seen.cliff.loss.numpy().clip(min=1e-4))
    levels = _levels(loss.filled(np.nan))
    norm = LogNorm(levels[0], levels[-1])
    drawn = axes.contourf(seen.cliff.a, seen.cliff.b, loss, levels, norm=norm)
    figure.colorbar(drawn, ax=axes, pad=0.01, format="%.2g")
    _way(axes, seen)
    axes.set_facecolor("#CCCCCC")  # where the loss is not finite
    axes.set_xlim(float(seen.cliff.a[0]), float(seen.cliff.a[-1]))
    axes.set_ylim(float(seen.cliff.b[0]), float(seen.cliff.b[-1]))
    axes.set_xlabel("distance along the step that was taken; dots: steps")
    axes.set_ylabel("along a random direction")


def _way(axes: "Axes", seen: Dissection) -> None:
    a, b = seen.path.T
    axes.plot(a, b, "o-", color="white", markersize=3.5, linewidth=1.2, markeredgecolor="black")
    did = seen.path_steps.index(seen.steps[seen.culprit])
    axes.plot(a[did], b[did], "o", color=RED, markersize=6, markeredgecolor="white")
    if did + 1 < len(a):
        axes.annotate("", (a[did + 1], b[did + 1]), (a[did], b[did]),
                      arrowprops={"arrowstyle": "->", "color": RED, "lw": 1.8})  # fmt: skip


def surface(axes: Any, seen: Dissection) -> None:
    """Draw the loss on the same plane as a surface, in a three-dimensional panel."""
    if seen.cliff is None or not np.isfinite(seen.cliff.loss.numpy()).any():
        axes.set_axis_off()
        return
    a, b = np.meshgrid(seen.cliff.a.numpy(), seen.cliff.b.numpy())
    loss = seen.cliff.loss.numpy()
    height = np.log10(np.where(np.isfinite(loss), loss, np.nan).clip(min=1e-4))
    axes.plot_surface(a, b, height, cmap="viridis", linewidth=0, rstride=1, cstride=1, alpha=0.95)
    axes.set_title("The same as a surface, log₁₀ of the loss")
    axes.set_xlabel("step", fontsize=7, labelpad=-8)
    axes.set_ylabel("random", fontsize=7, labelpad=-8)
    axes.tick_params(labelsize=6, pad=-3)
    axes.locator_params(nbins=5, prune="both")  # labels would meet at the corner
    axes.view_init(elev=30, azim=-55)


def along(axes: "Axes", seen: Dissection) -> None:
    """Draw the loss of two batches along the culprit's step, from before it to beyond it."""
    step, line = seen.steps[seen.culprit], seen.along
    axes.plot(line.share, line.own, color=BLUE, label=f"of step {step:,}'s batch")
    label = f"of step {seen.spike.step:,}'s batch"
    axes.plot(line.share, line.later, color=ORANGE, label=label)
    finite = np.concatenate([line.own, line.later])
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        empty(axes, "no loss along it is finite")
    if len(finite) and finite.max() > 20 and finite.min() > 0:
        axes.set_yscale("log")
    for share in (0, 1):
        axes.axvline(share, color=RED, linewidth=1, linestyle="--", zorder=0)
    axes.set_xlabel(f"from before step {step:,} (0) to after it (1), and beyond")
    axes.set_title(ALONG)
    legend_above(axes)
