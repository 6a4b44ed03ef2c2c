"""Draw what cures do to spikes at once against what they do in the long run."""

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from hw2exp.compare.contrasts import decided
from hw2exp.diagnostics.statistics import Estimate
from hw2exp.records.figure_style import BLUE, GRAY, RED
from hw2exp.report.effects import Effect, at_main_lead
from hw2exp.report.lasting import Lasting, main_lasting
from hw2exp.report.solving import legend_above
from hw2exp.report.style import PALETTE, first_arms, folded, grid, label_outer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "o^sDvP"


def at_once_and_lasting(found: Sequence[Effect], stays: Sequence[Lasting]) -> "Figure | None":
    """Draw what each cure does to spikes that are about to happen, and what if it stays on.

    Returns:
        The figure, a panel for each arm; None if no cure was tried both ways.
    """
    at_once = {(each.arm.name, each.do): each for each in at_main_lead(found) if each.spikes}
    both = [each for each in main_lasting(stays) if (each.arm.name, each.do) in at_once]
    if not both:
        return None
    arms = first_arms(each.arm for each in both)
    figure, panels = grid(len(arms), 2.1)
    colors = dict(zip(dict.fromkeys(each.do for each in both), cycle(PALETTE)))
    starts = sorted({each.start for each in both})
    shifts = {start: 0.03 * (place - (len(starts) - 1) / 2) for place, start in enumerate(starts)}
    markers = dict(zip(starts, cycle(MARKERS)))
    for arm, axes in zip(arms, panels, strict=True):
        for each in both:
            if each.arm is arm:
                share, color = at_once[arm.name, each.do].net_prevented, colors[each.do]
                _cross(axes, share, each, color, markers[each.start], shifts[each.start])
        axes.set_title(folded(arm.short_name), fontsize=7)
    _difference_axes(panels, max(max(-e.spikes.low, e.spikes.high) for e in both))
    for cure, color in colors.items():
        panels[0].plot([], [], "s", color=color, label=cure.replace("$", r"\$"))
    for start, marker in markers.items():
        panels[0].plot([], [], marker, color=GRAY, label=f"on from step {start:,}")
    label_outer(panels, "share of spikes prevented, net of the placebo", "spikes per 1,000 steps")
    legend_above(figure, panels)
    return figure


def _cross(axes: Any, x: Estimate, each: Lasting, color: str, marker: str, shift: float) -> None:
    """Draw a cure's two effects with intervals; the shift separates its starts."""
    y, place = each.spikes, x.value + shift
    axes.plot([x.low, x.high], [y.value, y.value], color=color, linewidth=0.6, alpha=0.6)
    axes.plot([place, place], [y.low, y.high], color=color, linewidth=0.9)
    face = color if decided(each.verdict) else "white"
    axes.plot(place, y.value, marker, color=color, markersize=4, markerfacecolor=face)


def _difference_axes(panels: Sequence[Any], largest: float) -> None:
    """Give all panels the same axes: of shares, and of differences up to the largest."""
    top = 1.3 * max(largest, 1.0)
    ticks = [tick for tick in (0, 1, 10, 100, 1000) if tick <= top]
    both = [*(-tick for tick in ticks[:0:-1]), *ticks]
    for axes in panels:
        axes.set_yscale("symlog", linthresh=1)
        axes.set(xlim=(-0.2, 1.08), ylim=(-top, top))
        axes.set_yticks(both, [f"{tick:+d}".replace("-", "−") if tick else "0" for tick in both])
        axes.set_yticks([], minor=True)
        axes.tick_params(labelsize=7)
        axes.axhspan(0, top, color=RED, alpha=0.05, linewidth=0)
        axes.axhspan(-top, 0, color=BLUE, alpha=0.05, linewidth=0)
        axes.axhline(0, color=GRAY, linewidth=0.8)
        axes.axvline(0, color=GRAY, linewidth=0.8)


LASTING = (
    "Across: the share of spikes prevented, without another instead, if the cure is turned on at "
    "the lead nearest to 10 steps before, net of the placebo. Up: the difference in spikes per "
    "1,000 steps if it is turned on at a step and stays on, against the run itself, on the same "
    "seeds and, but for other data, the same data; with 95 % intervals. Starts are drawn side by "
    "side; hollow ones are undecided. At the right, a cure prevents spikes that are about to "
    "happen; in the blue half it also keeps them away, in the red half it makes others."
)
