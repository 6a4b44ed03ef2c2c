"""Draw how many runs have solved the task by step, and the loss by learning rate."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hw2exp.compare.measures import by_rates
from hw2exp.records.arm_pairs import setting_of
from hw2exp.records.arms import Arm
from hw2exp.report.measures import ArmMeasures
from hw2exp.report.style import MOST_ARMS, PALETTE, columns_for, draw_estimates, folded, panels_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LINES = "-", "--", ":", "-."


def unsolved(measured: Sequence[ArmMeasures]) -> "Figure | None":
    """Draw the share of runs that have not solved their task, one line per arm (Kaplan & Meier).

    Args:
        measured: the measures of all arms; with more than ``MOST_ARMS``, each model and optimizer
            has its own panel.

    Returns:
        The figure; None if no run has solved its task.
    """
    if all(result.solved_at is None for each in measured for result in each.arm.results):
        return None
    last = max(run.config.steps for each in measured for run in each.arm.runs.values())
    if len(measured) <= MOST_ARMS:
        figure, ((axes,),) = panels_of(8.0, 3.6, 1, 1)
        for place, each in enumerate(measured):
            look = {"color": f"C{place % 10}", "linestyle": LINES[place // 10 % len(LINES)]}
            _draw_unsolved(axes, each, last, folded(each.arm.name), look, len(measured) <= 6)
        axes.set(xlabel="training step", ylabel="share of runs unsolved")
        axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1))
        return figure
    figure, panels = by_setting([each.arm for each in measured])
    looks = _looks([each.arm for each in measured])
    for each in measured:
        axes = panels[setting_of(each.arm)]
        _draw_unsolved(axes, each, last, each.arm.cures or "no cure", looks[each.arm.name], False)
    one_legend(figure, panels.values())
    figure.supxlabel("training step", fontsize=8)
    figure.supylabel("share of runs unsolved", fontsize=8)
    return figure


def _draw_unsolved(
    axes: Any, each: ArmMeasures, last: int, label: str, look: Mapping[str, Any], banded: bool
) -> None:
    curve = each.unsolved
    steps = np.concatenate([[0], curve.times, [last]])
    left = np.concatenate([[1], curve.share, curve.share[-1:] if len(curve.share) else [1]])
    axes.step(steps, left, where="post", label=label, **look)
    if banded and len(curve.times):
        axes.fill_between(
            curve.times, curve.low, curve.high, step="post", color=look["color"], alpha=0.12
        )
    axes.set(ylim=(-0.02, 1.02), xlim=0)


def rates(measured: Sequence[ArmMeasures]) -> "Figure | None":
    """Draw the median of the final test loss against the learning rate.

    Returns:
        The figure; None if no arms differ only in the learning rate, with at least three rates.
    """
    by_name = {each.arm.name: each for each in measured}
    lines = [
        [by_name[arm.name] for arm in sorted(arms, key=lambda arm: arm.rate)]
        for arms in by_rates(each.arm for each in measured).values()
        if len(arms) > 2
    ]
    if not lines:
        return None
    figure, panels = by_setting([line[0].arm for line in lines], height=2.3)
    looks = _looks([line[0].arm for line in lines], by_rate=False)
    for line in lines:
        arm = line[0].arm
        own = [each.arm.rate for each in line]
        losses = [each.test_loss for each in line]
        axes = panels[setting_of(arm)]
        look = looks[arm.name] | {"label": arm.cures or "no cure", "marker": ".", "linewidth": 1}
        draw_estimates(axes, own, losses, bounded=False, **look)
        axes.set(xscale="log", yscale="log")
    one_legend(figure, panels.values())
    figure.supxlabel("learning rate", fontsize=8)
    figure.supylabel("final test loss, median", fontsize=8)
    return figure


def by_setting(
    arms: Sequence[Arm], height: float = 2.2, **options: Any
) -> tuple["Figure", dict[tuple[str, str], Any]]:
    """Return a figure, and its panel for each model (rows) and optimizer (columns), by both.

    ``height`` is that of a row, in inches; the options are those of matplotlib's ``subplots``.
    """
    models, optimizers = (dict.fromkeys(setting_of(arm)[place] for arm in arms) for place in (0, 1))
    shape = len(models), len(optimizers)
    figure, axes = panels_of(3.4 * shape[1] + 1.2, height * shape[0] + 0.4, *shape, **options)
    panels = {}
    for row, model in enumerate(models):
        for column, optimizer in enumerate(optimizers):
            panels[model, optimizer] = axes[row, column]
            axes[row, column].set_title(f"{model}, {optimizer}", fontsize=8)
            axes[row, column].tick_params(labelsize=7)
    return figure, panels


def _looks(arms: Sequence[Arm], by_rate: bool = True) -> dict[str, dict[str, Any]]:
    """Return each arm's line style: a color per set of cures, by name of the arm.

    With ``by_rate``, a line is dashed if the arm without cures has another learning rate.
    """
    cures = sorted({arm.cures for arm in arms if arm.cures})
    plain = {setting_of(arm): arm.rate for arm in arms if not arm.cures}
    looks = {}
    for arm in arms:
        place = cures.index(arm.cures) if arm.cures else 0
        own = by_rate and arm.rate != plain.get(setting_of(arm), arm.rate)
        color = PALETTE[place % len(PALETTE)] if arm.cures else "black"
        looks[arm.name] = {"color": color, "linestyle": "--" if own else "-"}
    return looks


def one_legend(figure: "Figure", panels: Any, **options: Any) -> None:
    """Add one legend for all panels, with each label once; options are those of matplotlib's."""
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    look: dict[str, Any] = {"loc": "outside right upper", "frameon": False, "fontsize": 7}
    figure.legend(list(found.values()), list(found), **look | options)


def legend_above(figure: "Figure", panels: Sequence[Any]) -> None:
    """Add one legend above the panels of a ``grid``, and the height that it needs."""
    columns = columns_for(len(panels))
    one_legend(figure, panels, loc="outside upper center", ncols=columns)
    lines = -(-len(figure.legends[0].get_texts()) // columns)
    figure.set_figheight(figure.get_figheight() + 0.17 * lines)


UNSOLVED = (
    "The share of runs that have not solved their task yet (Kaplan and Meier), with 95 % bands "
    "where there are few arms. Where there are many, dashed: at a learning rate other than that "
    "of the arm without cures."
)

RATES = "The median of the final test loss over seeds, against the learning rate."
