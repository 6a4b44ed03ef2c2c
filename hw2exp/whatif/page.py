"""Draw the page of a spike under interventions: one HTML file that needs no network."""

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from hw2exp.records.figure_style import (
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    RED,
    STYLE,
    VERMILION,
    encoded,
    figure_style,
)  # fmt: skip
from hw2exp.whatif.choices import Kind
from hw2exp.whatif.trial import Tried
from hw2exp.whatif.verdict import WORSE, Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 10
"""The lead in the picture, if the run has so many steps before the spike."""

BEFORE, AFTER = 40, 60
"""Steps in the picture before the branches and after the spike."""

COLORS = {
    Kind.CLIP: BLUE,
    Kind.RATE: ORANGE,
    Kind.DATA: GREEN,
    Kind.MOMENTS: VERMILION,
    Kind.MOMENTUM: "#7F3C8D",
    Kind.READOUT: "#8c564b",
    Kind.OWN: BLUE,
    Kind.PLACEBO: GRAY,
}

GONE = Outcome.PREVENTED, Outcome.DELAYED


def summary(tried: Tried) -> list[str]:
    """Say in a line for each intervention from which leads the spike happens, and which not."""
    wide = max(len(choice.do) for choice in tried.choices)
    lines = []
    for place, choice in enumerate(tried.choices):
        by_outcome: dict[Outcome, list[str]] = {}
        for lead, fates in tried.fates.items():
            by_outcome.setdefault(fates[place].outcome, []).append(str(lead))
        parts = [f"{outcome} from {', '.join(leads)}" for outcome, leads in by_outcome.items()]
        lines.append(f"{choice.do:<{wide}}  {'; '.join(parts)}")
    return lines


def render(tried: Tried) -> str:
    """Render the page as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("hw2exp.whatif", "."), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("page.html.jinja").render(
        title=tried.request.title,
        tried=tried,
        spike=tried.spike,
        picture=base64.b64encode(draw(tried)).decode(),
        rows=_rows(tried),
        worse=WORSE,
        colors=COLORS,
        last=len(tried.losses),
    )


def _rows(tried: Tried) -> list[Any]:
    """Return a row for each intervention: itself, and by lead its fate, test loss and accuracy."""
    rows = []
    for place, choice in enumerate(tried.choices):
        cells = [
            (tried.fates[lead][place], own.test_loss[place], own.test_accuracy[place])
            for lead, own in tried.branches.items()
        ]
        rows.append((choice, cells))
    return rows


def draw(tried: Tried) -> bytes:
    """Draw the run's curve and the fan of branches from one lead, as PNG."""
    lead = max(each for each in tried.branches if each <= SHOWN)
    with figure_style(STYLE):
        from matplotlib.figure import Figure

        figure = Figure((11, 5.2), layout="constrained")
        _fan(figure.subplots(), tried, lead)
        return encoded(figure, "png", dpi=130, metadata={"Software": None})


def _fan(axes: "Axes", tried: Tried, lead: int) -> None:
    branches, fates, spike = tried.branches[lead], tried.fates[lead], tried.spike
    begin, end = max(1, branches.first - BEFORE), min(len(tried.losses), spike.end + AFTER)
    shown = slice(0, end - branches.first + 1)
    steps = np.arange(branches.first, end + 1)
    for kind in sorted(COLORS, key=lambda kind: kind is not Kind.PLACEBO):  # placebos below
        own = [place for place, each in enumerate(tried.choices) if place and each.kind is kind]
        gone = sum(fates[place].outcome in GONE for place in own)
        label = f"{kind}: gone in {gone} of {len(own)}" if own else None
        for place in own:
            color, wide = COLORS[kind], 0.7 if kind is Kind.PLACEBO else 1.1
            axes.plot(steps, branches.losses[shown, place], color=color, linewidth=wide,
                      alpha=0.85, label=label)  # fmt: skip
            label = None
    run = np.arange(begin, end + 1)
    axes.plot(run, tried.losses[begin - 1 : end], color="black", linewidth=1.8, label="the run")
    axes.axvline(branches.first, color=RED, linewidth=1, linestyle="--", zorder=0)
    axes.axvspan(spike.start - 0.5, spike.end + 0.5, color=GRAY, alpha=0.15, linewidth=0, zorder=0)
    axes.set_yscale("log")
    axes.set_xlim(begin, end)
    axes.set_xlabel("training step")
    axes.set_ylabel("training loss")
    axes.set_title(f"Branches from step {branches.first:,} (dashed), {lead} before the spike "
                   "(gray)", loc="left")  # fmt: skip
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
