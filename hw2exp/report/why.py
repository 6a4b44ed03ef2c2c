"""Explain why runs blow up, by the diagnostics recorded while they trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hw2exp.records.arms import Arm
from hw2exp.report.anatomies import AnatomyPage, read_anatomies
from hw2exp.report.before_spikes import ArmLooks, look_at, why_rows
from hw2exp.report.diagnosed import Diagnosed, read_diagnosed
from hw2exp.report.style import Drawn, draw
from hw2exp.report.tables import write_table
from hw2exp.report.why_figure import why_figure

MOST_RUNS = 4
"""Most runs that have a figure, one per model."""


@dataclass(frozen=True)
class Why:
    """The diagnostics and anatomies of a chapter's runs; empty if there are none.

    Args:
        looks: the looks of the arms that have some.
        figures: one figure per model, of one run each.
        pages: the anatomies of spikes and divergences.
        notes: lines about diagnostics and pages left out.
    """

    looks: Sequence[ArmLooks]
    figures: Sequence[Drawn]
    pages: Sequence[AnatomyPage]
    notes: Sequence[str]


def make_why(arms: Sequence[Arm], target: Path, figures_wanted: bool) -> Why:
    """Summarize the diagnostics; write their table; if wanted, draw them and read the anatomies.

    All files go to ``target``, an existing folder.

    Raises:
        OSError: a file can't be written.
    """
    diagnosed, notes = read_diagnosed(arms)
    looks = [look_at(arm, looked) for arm, looked in diagnosed]
    if looks:
        write_table(why_rows(looks), target, "why")
    if not figures_wanted:
        return Why(looks, [], [], notes)
    drawn = [
        draw(
            why_figure(looked),
            target,
            f"why_{arm.model}",
            f"{arm.name}, seed {looked.run.config.seed}",
            "",
        )
        for arm, looked in _examples(diagnosed)
    ]
    pages, left_out = read_anatomies(arms)
    return Why(looks, drawn, pages, [*notes, *left_out])


def _examples(
    diagnosed: Sequence[tuple[Arm, Sequence[Diagnosed]]],
) -> list[tuple[Arm, Diagnosed]]:
    """Return each model's first run with spikes, else its first run; at most ``MOST_RUNS``."""
    first: dict[str, tuple[Arm, Diagnosed]] = {}
    for arm, looked in diagnosed:
        for each in looked:
            _, known = first.setdefault(arm.model, (arm, each))
            if each.run.result.spikes and not known.run.result.spikes:
                first[arm.model] = arm, each
    spiking = sorted(first.values(), key=lambda each: not each[1].run.result.spikes)
    return spiking[:MOST_RUNS]
