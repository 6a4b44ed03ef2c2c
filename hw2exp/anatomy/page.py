"""Draw the anatomy of a spike on one page."""

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from hw2exp.anatomy.blame import Suspect
from hw2exp.anatomy.cliff_panels import along, contour, surface
from hw2exp.anatomy.dissection import Dissection
from hw2exp.anatomy.headline import headline
from hw2exp.anatomy.verdict import sentences
from hw2exp.anatomy.words import LOSS, NORMS, SHARPNESS, empty, legend_above
from hw2exp.records.figure_style import BLUE, GRAY, GREEN, ORANGE, RED, STYLE, encoded, figure_style
from hw2exp.tasks.temporal_order import MARKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = {"axes.titlesize": 10, "axes.titlelocation": "left"}
SIZE = 15.0, 12.1  # inches
SEQUENCES = 4
DECADES, BEYOND = 1e8, 1e4
"""Axis limits as factors of the median, and color limit as a factor of the largest flow so far."""

WIDEST, BROADEST, WIDE = 47, 125, 120
"""The most characters shown of a sequence, and in a line of small and of large text."""


def draw(seen: Dissection, title: str) -> bytes:
    """Draw the page of an anatomy.

    Args:
        seen: the measurements of the spike.
        title: the page's title.

    Returns:
        The bytes of a PNG.
    """
    with figure_style(STYLE | TITLES):
        from matplotlib.figure import Figure

        figure = Figure(SIZE, layout="constrained")
        parts: Any = figure.subfigures(3, 1, height_ratios=(0.9, 8.9, 2.3))
        top, above, below = parts
        _headline(top, title, headline(seen))
        panels = above.subplots(3, 3)
        _curve(panels[0, 0], seen)
        _norms(panels[0, 1], seen)
        _tensors(panels[0, 2], seen)
        _flow(panels[1, 0], seen, above)
        _jacobians(panels[1, 1], seen)
        _sharpness(panels[1, 2], seen)
        contour(panels[2, 0], seen, above)
        panels[2, 1].remove()
        surface(above.add_subplot(3, 3, 8, projection="3d"), seen)
        along(panels[2, 2], seen)
        _text(below, seen)
        return encoded(figure, "png", dpi=110, metadata={"Software": None})


def _headline(figure: Any, title: str, said: tuple[str, str]) -> None:
    """Write the page's title, and below it why the spike happened and where to look first."""
    sentence = fill(said[0], WIDE)
    figure.text(0.01, 0.97, title, va="top", fontsize=11, color=GRAY)
    figure.text(0.01, 0.75, sentence, va="top", fontsize=13, fontweight="bold")
    figure.text(0.01, 0.20 if "\n" in sentence else 0.45, said[1], va="top", fontsize=11)


def _mark(axes: "Axes", seen: Dissection) -> None:
    """Draw a line at the culprit and another at the peak."""
    axes.axvline(seen.steps[seen.culprit], color=RED, linewidth=1, linestyle="--", zorder=0)
    axes.axvline(seen.spike.step, color=GRAY, linewidth=1, linestyle=":", zorder=0)
    axes.set_xlabel("training step")
    axes.locator_params(axis="x", integer=True)


def _what(seen: Dissection) -> str:
    """Return the culprit's role in the spike, as a label."""
    return "did it" if seen.thrown else "before the peak"


def _log(axes: "Axes", *seen: Any) -> None:
    """Set a logarithmic scale that fits these values, and cut off extreme values elsewhere."""
    values = np.concatenate([np.ravel(each) for each in seen])
    known = values[np.isfinite(values) & (values > 0)]
    if len(known):
        axes.set_yscale("log")
        middle, largest = np.median(known), known.max()
        bottom, top = axes.get_ylim()
        axes.set_ylim(max(bottom, middle / DECADES), min(top, max(middle * DECADES, 2 * largest)))


def _curve(axes: "Axes", seen: Dissection) -> None:
    axes.plot(seen.steps, seen.loss, "o-", color=BLUE, markersize=3, label="of the step's batch")
    label = "of other sequences"
    axes.plot(seen.steps, seen.fresh_loss, "s-", color=ORANGE, markersize=3, label=label)
    top = np.nanmax(np.where(np.isfinite(seen.loss), seen.loss, np.nan))
    axes.set_yscale("log" if top > 20 else "linear")
    step = seen.steps[seen.culprit]
    axes.set_title(LOSS)
    axes.set_title(f"step {step:,} {_what(seen)}", loc="right", color=RED, fontsize=8)
    legend_above(axes)
    _mark(axes, seen)


def _norms(axes: "Axes", seen: Dissection) -> None:
    axes.plot(seen.steps, seen.raw, "o-", color=BLUE, markersize=3, label="gradient")
    if not np.array_equal(seen.raw, seen.clipped, equal_nan=True):
        axes.plot(seen.steps, seen.clipped, "s-", color=ORANGE, markersize=3, label="clipped")
    label = "how far the parameters moved"
    axes.plot(seen.steps, seen.updates, "^-", color=GREEN, markersize=3, label=label)
    _log(axes, *(each[: seen.culprit + 1] for each in (seen.raw, seen.updates)))
    axes.set_title(NORMS)
    legend_above(axes)
    _mark(axes, seen)


def _tensors(axes: "Axes", seen: Dissection) -> None:
    """Draw the gradient norm by parameter, with names for the six largest at the culprit."""
    order = sorted(seen.gradients_by_tensor.items(), key=lambda own: -own[1][seen.culprit])
    for place, (name, norms) in enumerate(order):
        named = place < 6
        color = f"C{place}" if named else "#CCCCCC"
        axes.plot(seen.steps, norms, color=color, linewidth=1.2 if named else 0.7,
                  zorder=2 if named else 1, label=name if named else None)  # fmt: skip
    _log(axes, *(each[: seen.culprit + 1] for each in seen.gradients_by_tensor.values()))
    axes.set_title("Gradient by parameter, the six largest by name")
    legend_above(axes, 7, 3)
    _mark(axes, seen)


def _flow(axes: "Axes", seen: Dissection, figure: Any) -> None:
    from matplotlib.colors import LogNorm

    flow = np.where(seen.flow > 0, seen.flow, np.nan)
    T = flow.shape[1]
    extent = (seen.steps[0] - 0.5, seen.steps[-1] + 0.5, T + 0.5, 0.5)
    if np.isfinite(flow).any():
        finite = np.where(np.isfinite(flow), flow, np.nan)
        low, high = np.nanmin(finite), np.nanmax(finite)
        if np.isfinite(until := finite[: seen.culprit + 1]).any():
            high = min(high, np.nanmax(until) * BEYOND)
        norm = LogNorm(max(low, high / DECADES), high)
        image = axes.imshow(flow.T, aspect="auto", extent=extent, norm=norm, interpolation="none")
        figure.colorbar(image, ax=axes, pad=0.01)
    else:
        empty(axes, "no gradient is finite, or none flows")
    axes.set_ylabel("time step t of the sequence")
    axes.set_title("How the gradient flows back: ‖∂ℓ/∂h[t]‖")
    _mark(axes, seen)


def _jacobians(axes: "Axes", seen: Dissection) -> None:
    product = seen.jacobians.product.double().numpy()  # (n, T-1)
    t = np.arange(1, product.shape[1] + 1)
    for place in range(len(product)):
        axes.plot(t, product[place], color="#BBBBBB", linewidth=0.6, zorder=1)
    for place, color, what in ((seen.peak, ORANGE, "peak"), (seen.culprit, RED, _what(seen))):
        there = (np.isfinite(product[place]) & (product[place] > 0)).any()
        label = f"step {seen.steps[place]:,}, {what}" if there else None
        axes.plot(t, product[place], color=color, linewidth=1.6, label=label, zorder=3)
    single = seen.jacobians.step[seen.culprit].double().numpy()
    axes.plot(t + 1, single, color=RED, linewidth=0.8, linestyle=":", zorder=2,
              label="its ‖∂h[t]/∂h[t-1]‖ step by step")  # fmt: skip
    axes.axhline(1, color=GRAY, linewidth=0.8)
    marked = product[[seen.culprit, seen.peak]]
    _log(axes, marked if (marked > 0).any() else product)
    axes.set_xlabel("time step t of the sequence")
    axes.set_title("‖∂h[T]/∂h[t]‖ along the first sequence below, other steps gray", fontsize=9)
    legend_above(axes)


def _sharpness(axes: "Axes", seen: Dissection) -> None:
    ratio = seen.sharp.instability.numpy()
    if not np.isfinite(ratio).any():
        empty(axes, "not found at any of these steps")
    axes.plot(seen.steps, ratio, "o-", color=BLUE, markersize=3)
    axes.axhline(1, color=GRAY, linewidth=0.8)
    _log(axes, ratio[: seen.culprit + 1])
    axes.set_title(SHARPNESS)
    _mark(axes, seen)


def _text(figure: Any, seen: Dissection) -> None:
    """Write the findings in words, and the sequences with the largest gradients."""
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
    """Return the sequences with the largest gradients as rows of text, below a header."""
    rows = [f"{'gradient':>9} {'loss':>8}  {where}"]
    for each in sequences[:SEQUENCES]:
        text, _, label = each.text.partition(" → ")
        size, loss = (f"{x:.3g}" if np.isfinite(x) else "–" for x in (each.gradient, each.loss))
        rows.append(f"{size:>9} {loss:>8}  {shortened(text)} → {label}")
    return rows


def shortened(text: str) -> str:
    """Shorten a sequence to ``WIDEST`` characters around its marks, which decide its class."""
    if len(text) <= WIDEST:
        return text
    around = (WIDEST - 5) // 4  # three gaps, and two marks with letters on both sides
    marks = [place for place, letter in enumerate(text) if letter in MARKS]
    kept = [place for place in range(len(text)) if min(abs(place - m) for m in marks) <= around]
    gaps = ["…" * (place > before + 1) for before, place in zip([-1, *kept], kept, strict=False)]
    shown = "".join(f"{gap}{text[place]}" for gap, place in zip(gaps, kept, strict=True))
    return f"{shown}…" if kept[-1] < len(text) - 1 else shown
