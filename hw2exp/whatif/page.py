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
from hw2exp.records.moments import NOTHING, Family, Outcome
from hw2exp.whatif.choices import Candidate
from hw2exp.whatif.trial import Tried
from hw2exp.whatif.verdict import WORSE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 10
"""The lead in the picture, or the nearest one that was tried."""

BEFORE, AFTER = 20, 60
"""Steps in the picture before the branches and after the spike."""

COLUMNS, LONGEST = 2, 27
"""Panels in a row, and the most letters of an intervention in a legend."""

HIGHEST = 10.0
"""The largest loss in the picture, in units of the spike's."""

PALETTE = BLUE, ORANGE, GREEN, VERMILION, "#7F3C8D"


def summary(tried: Tried) -> list[str]:
    """Write a line for each intervention: the outcome of the spike from each lead."""
    wide = max(len(shown(choice)) for choice in tried.choices)
    lines = []
    for place, choice in enumerate(tried.choices):
        by_end: dict[tuple[Outcome, bool], list[str]] = {}
        for lead, fates in tried.fates.items():
            outcome = fates[place].outcome
            lost = outcome is not Outcome.DIVERGES and tried.branches[lead].diverged_at[place] > 0
            by_end.setdefault((outcome, bool(lost)), []).append(str(lead))
        parts = [
            f"{outcome} from {', '.join(leads)}{' (and diverges later)' * lost}"
            for (outcome, lost), leads in by_end.items()
        ]
        mark = "placebo: " if choice.kind is Family.PLACEBO and place else ""
        lines.append(f"{shown(choice):<{wide}}  {mark}{'; '.join(parts)}")
    return lines


def shown(choice: Candidate) -> str:
    """Return the text that the page shows for an intervention."""
    return "(no change)" if choice.do == NOTHING else choice.do


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
        last=len(tried.losses),
        shown=shown,
    )


def _rows(tried: Tried) -> list[Any]:
    """Return a row for each intervention: itself, and its fate, end, loss and accuracy by lead."""
    rows = []
    for place, choice in enumerate(tried.choices):
        cells = [
            (
                tried.fates[lead][place],
                bool(own.diverged_at[place]),
                own.test_loss[place],
                own.test_accuracy[place],
            )
            for lead, own in tried.branches.items()
        ]
        rows.append((choice, cells))
    return rows


def draw(tried: Tried) -> bytes:
    """Draw the fan of branches from one lead, a panel for each kind of intervention, as PNG."""
    lead = min(tried.branches, key=lambda each: abs(each - SHOWN))
    kinds = [kind for kind in Family if any(each.kind is kind for each in tried.choices[1:])]
    rows = -(-len(kinds) // COLUMNS)
    with figure_style(STYLE | {"axes.titlelocation": "left"}):
        from matplotlib.figure import Figure

        figure = Figure((13, 0.6 + 2.2 * rows), layout="constrained")
        panels = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, kind in zip(panels, kinds, strict=False):
            _fan(axes, tried, lead, kind)
        top = min(panels[0].get_ylim()[1], HIGHEST * tried.spike.loss)
        panels[0].set_ylim(top=top)  # all panels share the axis
        for unused in panels[len(kinds) :]:
            unused.set_visible(False)
        first = tried.branches[lead].first
        figure.suptitle(
            f"Training from step {first:,} on (dashed), {lead} before the spike (gray), "
            "with one thing changed; black: the run", x=0.01, ha="left",
        )  # fmt: skip
        figure.supxlabel("training step", fontsize=9)
        figure.supylabel("training loss", fontsize=9)
        return encoded(figure, "png", dpi=110, metadata={"Software": None})


def _fan(axes: "Axes", tried: Tried, lead: int, kind: Family) -> None:
    """Draw the branches of one kind over the run's curve."""
    branches, spike = tried.branches[lead], tried.spike
    begin, end = max(1, branches.first - BEFORE), min(len(tried.losses), spike.end + AFTER)
    run, steps = np.arange(begin, end + 1), np.arange(branches.first, end + 1)
    axes.axvline(branches.first, color=RED, linewidth=0.8, linestyle="--", zorder=0)
    axes.axvspan(spike.start - 0.5, spike.end + 0.5, color=GRAY, alpha=0.2, linewidth=0, zorder=0)
    axes.plot(run, tried.losses[begin - 1 : end], color="black", linewidth=2.2)
    own = [place for place, each in enumerate(tried.choices) if place and each.kind is kind]
    for order, place in enumerate(own):
        words = tried.choices[place].do
        if len(words) > LONGEST:
            words = f"… {words.rpartition(' ')[2][-LONGEST:]}"
        axes.plot(
            steps, branches.losses[: len(steps), place], color=PALETTE[order % len(PALETTE)],
            linestyle="-" if order < len(PALETTE) else ":", linewidth=1,
            label=f"{words}: {tried.fates[lead][place].outcome}",
        )  # fmt: skip
    axes.set_yscale("log", subs=(2, 5))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_xlim(begin, end)
    axes.set_title(kind)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.05), frameon=False)
