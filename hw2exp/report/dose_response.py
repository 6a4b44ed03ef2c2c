"""Draw the share of spikes that do not happen against the dose of an intervention."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hw2exp.diagnostics.statistics import Estimate
from hw2exp.records.arms import Arm
from hw2exp.records.figure_style import GRAY, GREEN, RED
from hw2exp.records.moments import PLACEBOS
from hw2exp.report.effects import OTHER_DATA, Effect, at_main_lead
from hw2exp.report.solving import legend_above
from hw2exp.report.style import (
    columns_for,
    draw_estimates,
    first_arms,
    folded,
    grid,
    label_outer,
)
from hw2exp.system.problems import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOISE = "params~"

FAMILIES = {
    "clip=norm clip.max_norm=": "clip by norm",
    "lr*": "learning rate ×",
    "optimizer.mean_square*": "2nd moments ×",
    NOISE: "noise",
}
"""The interventions that have doses, by what comes before the dose, with their labels."""

DOSE = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?", re.ASCII)

LEADS = "#9ecae1", "#4292c6", "#08306b"
"""Colors of leads, from the shortest to the longest."""

Places = Mapping[str, Mapping[str, float]]
"""The place of each dose on the horizontal axis, by family."""


def dose_response(found: Sequence[Effect]) -> "Figure | None":
    """Draw the share of spikes that do not happen against the dose, a panel for each arm.

    Returns:
        The figure; None if no intervention has a dose.
    """
    places = _places(found)
    arms = first_arms(each.arm for each in found if each.spikes)
    if not places or not arms:
        return None
    figure, panels = grid(len(arms), 2.1)
    leads = _leads(found)
    for arm, axes in zip(arms, panels, strict=True):
        _draw(axes, arm, [each for each in found if each.arm is arm], places, leads)
    _label_doses(panels, places)
    label_outer(panels, "", "share")
    legend_above(figure, panels)
    return figure


def _draw(
    axes: Any,
    arm: Arm,
    own: Sequence[Effect],
    places: Places,
    leads: Mapping[int, tuple[str, float]],
) -> None:
    """Draw an arm's shares: of spikes gone from each lead, and all others from the main lead."""
    for lead, (color, shift) in leads.items():
        gone = {each.do: each.gone for each in own if each.lead == lead}
        _lines(axes, places, gone, color, shift, f"spikes gone, from {lead} steps before")
    main = {each.do: each for each in at_main_lead(own)}
    prevented = {do: each.prevented for do, each in main.items() if each.spikes}
    _lines(axes, places, prevented, GREEN, 0.0, "spikes prevented")
    provoked = {do: each.provoked for do, each in main.items() if each.quiet}
    _lines(axes, places, provoked, RED, 0.0, "quiet moments with a spike provoked")
    if OTHER_DATA in main:
        look = {"color": "black", "linewidth": 0.9, "linestyle": ":"}
        axes.axhline(main[OTHER_DATA].gone.value, label="spikes gone with other data", **look)
    spikes, runs = (max(getattr(each, name) for each in own) for name in ("spikes", "runs"))
    size = f"{counted(spikes, 'spike')}, {counted(runs, 'run')}"
    axes.set_title(f"{folded(arm.short_name)}\n{size}", fontsize=7)


def _places(found: Sequence[Effect]) -> Places:
    """Place the doses of each family from the least to the greatest; placebos are the least."""
    places: dict[str, dict[str, float]] = {}
    first = 0
    for family in FAMILIES:
        there = {each.do for each in found if each.do.startswith(family)}
        doses = {do: float(dose) for do in there if DOSE.fullmatch(dose := _dose(do, family))}
        if doses:
            ordered = sorted(doses, key=lambda do: (doses[do], do), reverse=family != NOISE)
            places[family] = {do: float(first + place) for place, do in enumerate(ordered)}
            first += len(doses) + 1
    return places


def _dose(do: str, family: str) -> str:
    return do.removeprefix(family)


def _leads(found: Sequence[Effect]) -> dict[int, tuple[str, float]]:
    """Return the color and the shift of the shortest, the main and the longest lead."""
    leads = {each.lead for each in found}
    chosen = sorted({min(leads), max(leads), at_main_lead(found)[0].lead})
    shifts = [0.26 * (place - (len(chosen) - 1) / 2) for place in range(len(chosen))]
    return dict(zip(chosen, zip(LEADS[-len(chosen) :], shifts, strict=True), strict=True))


def _lines(
    axes: Any,
    places: Places,
    estimates: Mapping[str, Estimate],
    color: str,
    shift: float,
    label: str,
) -> None:
    """Draw estimates with intervals, a line for each family; placebos hollow."""
    for family, of_dose in places.items():
        known = {do: place + shift for do, place in of_dose.items() if do in estimates}
        own = [estimates[do] for do in known]
        xs = list(known.values())
        draw_estimates(axes, xs, own, color=color, linewidth=0.9)
        for do, x in known.items():
            hollow = family == NOISE or do in PLACEBOS.values()
            axes.plot(
                x, estimates[do].value, "o", color=color, markersize=3,
                markerfacecolor="white" if hollow else color,
            )  # fmt: skip
    axes.plot([], [], "o-", color=color, markersize=3, linewidth=0.9, label=label)


def _label_doses(panels: Sequence[Any], places: Places) -> None:
    """Label the doses below the lowest panels; separate the families in all panels."""
    ticks = {
        place: _dose(do, family).replace("1e30", "∞")
        for family, of_dose in places.items()
        for do, place in of_dose.items()
    }
    lowest = len(panels) - columns_for(len(panels))
    for number, axes in enumerate(panels):
        axes.set(ylim=(-0.03, 1.03), xlim=(-0.7, max(ticks) + 0.7), yticks=[0, 0.5, 1])
        labels = ticks.values() if number >= lowest else [""] * len(ticks)
        axes.set_xticks(list(ticks), labels, fontsize=6, rotation=90)
        axes.tick_params(axis="y", labelsize=7)
        axes.axhline(0, color=GRAY, linewidth=0.5)
        for family, of_dose in places.items():
            first, last = min(of_dose.values()), max(of_dose.values())
            color = "0.93" if family == NOISE else "0.975"
            axes.axvspan(first - 0.6, last + 0.6, color=color, zorder=0, linewidth=0)
            if number >= lowest:
                axes.annotate(
                    FAMILIES[family], ((first + last) / 2, 0), (0, -30), ha="center", va="top",
                    fontsize=6.5, xycoords=axes.get_xaxis_transform(), textcoords="offset points",
                )  # fmt: skip


DOSES = (
    "Blue: the share of spikes that do not happen if one thing is changed some steps before. Much "
    "that takes a run elsewhere does that, as other data do (dotted). Green: the share prevented, "
    "without another spike instead. Red: the share of as many quiet moments, matched by the stage "
    "of learning, at which a spike happens if the same is changed. All but blue from the lead "
    "nearest to 10 steps; with 95 % intervals over runs. Hollow: placebos, doses that should do "
    "nothing, and noise on all parameters. Quiet moments are far more frequent than spikes, so "
    "that an intervention which provokes few may still make more spikes than it prevents."
)
