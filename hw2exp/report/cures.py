"""Show what cures do to spikes (part 1.3 c); claims on it are in ``claims.yaml``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hw2exp.compare.contrasts import decided
from hw2exp.records.arm_pairs import setting_of
from hw2exp.records.arms import Arm
from hw2exp.records.figure_style import BLUE, GRAY, RED
from hw2exp.report.comparisons import Comparison
from hw2exp.report.solving import by_setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def cures_figure(compared: Sequence[Comparison]) -> "Figure":
    """Draw each cure's difference in spikes from no cure, a panel for each model and optimizer."""
    arms = [each.cured for each in compared]
    names = list(dict.fromkeys(_name(each) for each in compared))
    figure, panels = by_setting(arms, 0.7 + 0.19 * len(names), sharey=True)
    for each in compared:
        estimate = each.spikes
        color = GRAY if not decided(each.verdict) else BLUE if estimate.value < 0 else RED
        place = names.index(_name(each)) + (0.22 if each.own_rate else -0.12)
        axes = panels[setting_of(each.cured)]
        axes.plot([estimate.low, estimate.high], [place, place], color=color, linewidth=1.4)
        face = "white" if each.own_rate else color
        axes.plot(
            estimate.value,
            place,
            "o" if each.comparable else "x",
            color=color,
            markersize=3.6,
            markerfacecolor=face,
        )
    for setting, axes in panels.items():
        own = [each for each in compared if setting_of(each.cured) == setting]
        axes.axvline(0, color=GRAY, linewidth=0.8)
        largest = max((_extent(each) for each in own), default=0)
        if largest > 20 * min((_extent(each) for each in own), default=1):
            axes.set_xscale("symlog", linthresh=1)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(len(names) - 0.4, -0.6)
    figure.supxlabel(
        "spikes per 1,000 steps: with the cure less without, mean over seeds, 95 % interval",
        fontsize=8,
    )
    return figure


def _name(compared: Comparison) -> str:
    return compared.cured.cures


def _extent(compared: Comparison) -> float:
    return max(abs(compared.spikes.low), abs(compared.spikes.high), 1e-3)


CURES = (
    "The difference in spikes per 1,000 steps on the same seeds, its mean and 95 % interval. "
    "Colored where it is decided (a p-value, corrected for the number of comparisons, below 0.05): "
    "blue fewer, red more. A cross: more runs diverge on one side, so spikes decide nothing. "
    "Hollow: at the cure's own learning rate, not that of the arm without."
)


def called(arms: Sequence[Arm]) -> dict[str, str]:
    """Return a short name for each arm's name: its model, if only this arm has that model."""
    models = [model for _, model in {(arm.name, arm.model) for arm in arms}]
    return {arm.name: arm.model if models.count(arm.model) == 1 else arm.name for arm in arms}
