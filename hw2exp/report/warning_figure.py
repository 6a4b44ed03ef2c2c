"""Draw how well signals announce spikes: the area below the ROC curve against the lead."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hw2exp.compare.measures import PER
from hw2exp.diagnostics.paired_tests import SIGNIFICANT
from hw2exp.records.figure_style import GRAY
from hw2exp.records.signals import SIGNALS
from hw2exp.report.solving import one_legend
from hw2exp.report.style import MOST_ARMS, PALETTE, folded, grid
from hw2exp.report.warning import Warned
from hw2exp.system.problems import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

JITTER = 0.07

COLORS = dict(zip(SIGNALS, PALETTE, strict=False))


def warning_figure(found: Sequence[Warned]) -> "Figure":
    """Draw the areas of all runs, their ROC curves at the best lead, and the areas of each arm."""
    names = list(dict.fromkeys(each.arm for each in found))[: MOST_ARMS - 1]
    first = [each for each in found if each.arm == names[0]]
    figure, (areas, curves, *others) = grid(len(names) + 1, 3.0)
    _areas(areas, first, names[0])
    _curves(curves, first)
    for axes, name in zip(others, names[1:], strict=True):
        _areas(axes, [each for each in found if each.arm == name], name)
    one_legend(figure, [areas, *others])
    return figure


def _areas(axes: Any, found: Sequence[Warned], name: str) -> None:
    leads = sorted({each.lead for each in found}, reverse=True)
    for place, (signal, color) in enumerate(COLORS.items()):
        if not (own := [each for each in found if each.signal == signal]):
            continue
        at = np.array([leads.index(each.lead) for each in own]) + JITTER * (place - len(COLORS) / 2)
        value, low, high = np.array([[e.area.value, e.area.low, e.area.high] for e in own]).T
        look: dict[str, Any] = {"color": color, "markersize": 4}
        axes.errorbar(
            at, value, [value - low, high - value], fmt="o-", linewidth=1, elinewidth=0.6,
            markerfacecolor="white", label=signal.replace("_", " "), **look,
        )  # fmt: skip
        decided = [each.pvalue < SIGNIFICANT for each in own]
        axes.plot(at[decided], value[decided], "o", zorder=3, **look)
    axes.axhline(0.5, color=GRAY, linewidth=0.8, linestyle="--")
    axes.set_xticks(range(len(leads)), [f"{lead:,}" for lead in leads])
    axes.set(ylim=(-0.02, 1.02))
    axes.set_xlabel("steps ahead", fontsize=8)
    axes.set_ylabel("area below the ROC curve", fontsize=8)
    axes.set_title(folded(name), fontsize=8)


def _curves(axes: Any, found: Sequence[Warned]) -> None:
    lead = max(found, key=lambda each: each.strength).lead
    for each in found:
        if each.lead == lead:
            axes.plot(*each.scores.curve(), color=COLORS[each.signal], linewidth=1)
    axes.plot([0, 1], [0, 1], color=GRAY, linewidth=0.8, linestyle="--")
    axes.set_xlabel("share of quiet moments with an alarm", fontsize=8)
    axes.set_ylabel("share of spikes with an alarm", fontsize=8)
    axes.set_title(f"ROC curves, {counted(lead, 'step')} ahead", fontsize=8)


WARNING = (
    "How well each signal tells the state some steps before a spike from the state as many steps "
    "before a quiet moment of the same runs: the probability that it is higher before the spike "
    "(0.5 announces nothing; below, low values do), with 95 % intervals over runs. Filled: p < "
    f"{SIGNIFICANT}, corrected for the number of areas. With several arms the first panels are of "
    f"all runs, with one threshold for all; of arms, at most {MOST_ARMS - 2} are drawn. The table "
    f"has, at about one false alarm per {PER:,} steps, the share of spikes found."
)
