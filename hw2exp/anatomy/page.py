"""Draws the anatomy of a spike on one page."""

from io import BytesIO
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from hw2exp.anatomy.dissection import Dissection, Suspect
from hw2exp.anatomy.verdict import sentences

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOSS, FRESH, RAW, CLIPPED, CULPRIT, QUIET = (
    "#0072B2", "#E69F00", "#0072B2", "#E69F00", "#CC3311", "#888888",
)  # fmt: skip
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "svg.hashsalt": "hw2exp",
}
SIZE = 15.0, 11.5  # inches
SEQUENCES = 4
DECADES = 1e8
"""How many times the median is still drawn."""

WIDEST, BROADEST = 52, 125
"""Letters of a sequence that are shown, and of a line of text."""


def draw(seen: Dissection, title: str) -> bytes:
    """Draw the page.

    Args:
        seen: what led to the spike.
        title: what stands above.

    Returns:
        A PNG.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(SIZE, layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        parts: Any = figure.subfigures(2, 1, height_ratios=(9.2, 2.3))
        above, below = parts
        panels = above.subplots(3, 3)
        _curve(panels[0, 0], seen)
        _norms(panels[0, 1], seen)
        _tensors(panels[0, 2], seen)
        _flow(panels[1, 0], seen, above)
        _jacobians(panels[1, 1], seen)
        _sharpness(panels[1, 2], seen)
        _contour(panels[2, 0], seen, above)
        panels[2, 1].remove()
        _surface(above.add_subplot(3, 3, 8, projection="3d"), seen)
        _along(panels[2, 2], seen)
        _text(below, seen)
        content = BytesIO()
        figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    return content.getvalue()


def _mark(axes: "Axes", seen: Dissection) -> None:
    """A line at the step that did it, another at the peak."""
    axes.axvline(seen.steps[seen.culprit], color=CULPRIT, linewidth=1, linestyle="--", zorder=0)
    axes.axvline(seen.spike.step, color=QUIET, linewidth=1, linestyle=":", zorder=0)
    axes.set_xlabel("training step")
    axes.locator_params(axis="x", integer=True)


def _what(seen: Dissection) -> str:
    """What the culprit is to the spike."""
    return "did it" if seen.thrown else "before the peak"


def _log(axes: "Axes", *values: Any) -> None:
    """A logarithmic scale, that what is beyond all measure does not flatten."""
    all_values = np.concatenate([np.ravel(each) for each in values])
    known = all_values[np.isfinite(all_values) & (all_values > 0)]
    if len(known):
        axes.set_yscale("log")
        middle = np.median(known)
        bottom, top = axes.get_ylim()
        axes.set_ylim(max(bottom, middle / DECADES), min(top, middle * DECADES))


def _curve(axes: "Axes", seen: Dissection) -> None:
    axes.plot(seen.steps, seen.loss, "o-", color=LOSS, markersize=3, label="of the step's batch")
    label = "of 1,024 other sequences"
    axes.plot(seen.steps, seen.fresh_loss, "s-", color=FRESH, markersize=3, label=label)
    top = np.nanmax(np.where(np.isfinite(seen.loss), seen.loss, np.nan))
    axes.set_yscale("log" if top > 20 else "linear")
    step = seen.steps[seen.culprit]
    axes.annotate(f"step {step:,} {_what(seen)}", (step, 0.97),
                  xycoords=("data", "axes fraction"), xytext=(-4, 0), textcoords="offset points",
                  ha="right", va="top", color=CULPRIT, fontsize=8)  # fmt: skip
    axes.set_title("Loss before each step")
    axes.legend(frameon=False, fontsize=8, loc="best")
    _mark(axes, seen)


def _norms(axes: "Axes", seen: Dissection) -> None:
    axes.plot(seen.steps, seen.raw, "o-", color=RAW, markersize=3, label="gradient")
    if not np.array_equal(seen.raw, seen.clipped, equal_nan=True):
        axes.plot(seen.steps, seen.clipped, "s-", color=CLIPPED, markersize=3, label="clipped")
    label = "how far the parameters moved"
    axes.plot(seen.steps, seen.updates, "^-", color="#009E73", markersize=3, label=label)
    _log(axes, seen.raw, seen.updates)
    axes.set_title("Norms of the gradient and of the update")
    axes.legend(frameon=False, fontsize=8, loc="best")
    _mark(axes, seen)


def _tensors(axes: "Axes", seen: Dissection) -> None:
    """The gradient's norm by parameter, those with the largest at the culprit by name."""
    order = sorted(seen.gradients_by_tensor.items(), key=lambda own: -own[1][seen.culprit])
    for place, (name, norms) in enumerate(order):
        named = place < 6
        color = f"C{place}" if named else "#CCCCCC"
        axes.plot(seen.steps, norms, color=color, linewidth=1.2 if named else 0.7,
                  zorder=2 if named else 1, label=name if named else None)  # fmt: skip
    _log(axes, *seen.gradients_by_tensor.values())
    axes.set_title("Gradient by parameter, the six largest by name")
    axes.legend(frameon=False, fontsize=7, ncols=2)
    _mark(axes, seen)


def _flow(axes: "Axes", seen: Dissection, figure: Any) -> None:
    from matplotlib.colors import LogNorm

    flow = np.where(seen.flow > 0, seen.flow, np.nan)
    T = flow.shape[1]
    extent = (seen.steps[0] - 0.5, seen.steps[-1] + 0.5, T + 0.5, 0.5)
    if np.isfinite(flow).any():
        low, high = np.nanmin(flow), np.nanmax(np.where(np.isfinite(flow), flow, np.nan))
        norm = LogNorm(max(low, high * 1e-8), high)
        image = axes.imshow(flow.T, aspect="auto", extent=extent, norm=norm, interpolation="none")
        figure.colorbar(image, ax=axes, pad=0.01)
    axes.set_ylabel("time step t of the sequence")
    axes.set_title("How the gradient flows back: ‖∂ℓ/∂h[t]‖")
    _mark(axes, seen)


def _jacobians(axes: "Axes", seen: Dissection) -> None:
    product = seen.jacobians.product.double().numpy()  # (n, T-1)
    t = np.arange(1, product.shape[1] + 1)
    for place in range(len(product)):
        axes.plot(t, product[place], color="#BBBBBB", linewidth=0.6, zorder=1)
    for place, color, what in ((seen.peak, FRESH, "peak"), (seen.culprit, CULPRIT, _what(seen))):
        label = f"step {seen.steps[place]:,}, {what}"
        axes.plot(t, product[place], color=color, linewidth=1.6, label=label, zorder=3)
    single = seen.jacobians.step[seen.culprit].double().numpy()
    axes.plot(t + 1, single, color=CULPRIT, linewidth=0.8, linestyle=":", zorder=2,
              label="its ‖∂h[t]/∂h[t-1]‖ step by step")  # fmt: skip
    axes.axhline(1, color=QUIET, linewidth=0.8)
    _log(axes, product)
    axes.set_xlabel("time step t of the sequence")
    axes.set_title("‖∂h[T]/∂h[t]‖ along the first sequence below, other steps gray", fontsize=9)
    axes.legend(frameon=False, fontsize=8)


def _sharpness(axes: "Axes", seen: Dissection) -> None:
    ratio = seen.sharp.instability.numpy()
    axes.plot(seen.steps, ratio, "o-", color=LOSS, markersize=3)
    axes.axhline(1, color=QUIET, linewidth=0.8)
    _log(axes, ratio)
    axes.set_title("Sharpness, in units of what the optimizer can stand")
    _mark(axes, seen)


def _levels(loss: Any) -> Any:
    finite = loss[np.isfinite(loss)]
    low, high = finite.min(), finite.max()
    return np.geomspace(max(low, 1e-4), max(high, 1.01 * low + 1e-3), 24)


def _contour(axes: "Axes", seen: Dissection, figure: Any) -> None:
    axes.set_title(f"The cliff: loss of step {seen.steps[seen.culprit]:,}'s batch")
    if seen.cliff is None or not np.isfinite(seen.cliff.loss.numpy()).any():
        axes.text(0.5, 0.5, "no finite step to draw along", ha="center", color=QUIET)
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
    axes.plot(a[did], b[did], "o", color=CULPRIT, markersize=6, markeredgecolor="white")
    if did + 1 < len(a):
        axes.annotate("", (a[did + 1], b[did + 1]), (a[did], b[did]),
                      arrowprops={"arrowstyle": "->", "color": CULPRIT, "lw": 1.8})  # fmt: skip


def _surface(axes: Any, seen: Dissection) -> None:
    if seen.cliff is None:
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
    axes.locator_params(nbins=5)
    axes.view_init(elev=30, azim=-55)


def _along(axes: "Axes", seen: Dissection) -> None:
    """The loss on the way of the step that did it, and beyond."""
    step, along = seen.steps[seen.culprit], seen.along
    axes.plot(along.share, along.own, color=LOSS, label=f"of step {step:,}'s batch")
    label = f"of step {seen.spike.step:,}'s batch"
    axes.plot(along.share, along.later, color=FRESH, label=label)
    finite = np.concatenate([along.own, along.later])
    finite = finite[np.isfinite(finite)]
    if len(finite) and finite.max() > 20 and finite.min() > 0:
        axes.set_yscale("log")
    for share in (0, 1):
        axes.axvline(share, color=CULPRIT, linewidth=1, linestyle="--", zorder=0)
    axes.set_xlabel(f"from before step {step:,} (0) to after it (1), and beyond")
    axes.set_title(f"Loss along step {step:,}")
    axes.legend(frameon=False, fontsize=8)


def _text(figure: Any, seen: Dissection) -> None:
    """What happened, in words, and the sequences that did it."""
    lines = "\n".join(
        fill(f"· {line}", BROADEST, subsequent_indent="  ") for line in sentences(seen)
    )
    figure.text(0.01, 0.98, lines, va="top", fontsize=9, linespacing=1.4)
    step = seen.steps[seen.culprit]
    rows = [
        *_rows(f"in the batch of step {step:,}, {_what(seen)}", seen.sequences),
        "",
        *_rows(f"in the batch of step {seen.spike.step:,}, the peak", seen.at_peak),
    ]
    figure.text(0.68, 0.98, "\n".join(rows), va="top", fontsize=7.5, family="monospace",
                linespacing=1.4)  # fmt: skip


def _rows(where: str, sequences: list[Suspect]) -> list[str]:
    """The sequences with the largest gradients, as they were read."""
    rows = [f"{'gradient':>9} {'loss':>8}  {where}"]
    for each in sequences[:SEQUENCES]:
        text, _, label = each.text.partition(" → ")
        short = text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"
        rows.append(f"{each.gradient:9.3g} {each.loss:8.3g}  {short} → {label}")
    return rows
