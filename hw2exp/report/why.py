"""Why runs blow up: what a chapter shows of runs that were looked into while they trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hw2exp.records.runs import Arm
from hw2exp.report.anatomies import AnatomyPage, read_anatomies
from hw2exp.report.before_spikes import ArmLooks, look_at
from hw2exp.report.diagnosed import Diagnosed, read_diagnosed
from hw2exp.report.drawn import Drawn, draw
from hw2exp.report.figures import why as figures
from hw2exp.report.tables import why_table, write_table

MOST_RUNS = 4
"""Runs that have a figure, one a model."""


@dataclass(frozen=True)
class Why:
    """What was seen of runs that were looked into, then or afterwards; empty if none was.

    Args:
        looks: of the arms that have such runs.
        figures: of one run a model.
        pages: the anatomies of spikes that there are.
        notes: lines about what is not in it.
    """

    looks: Sequence[ArmLooks]
    figures: Sequence[Drawn]
    pages: Sequence[AnatomyPage]
    notes: Sequence[str]


def make_why(arms: Sequence[Arm], target: Path, figures_wanted: bool) -> Why:
    """Measure, draw and gather what says why runs blew up; write its table and figures.

    Args:
        arms: all.
        target: where the files go; it must exist.
        figures_wanted: whether there are to be figures and anatomies.

    Raises:
        OSError: the files can't be written.
    """
    diagnosed, notes = read_diagnosed(arms)
    looks = [look_at(arm, looked) for arm, looked in diagnosed]
    if looks:
        write_table(why_table(looks), target, "why")
    if not figures_wanted:
        return Why(looks, [], [], notes)
    drawn = [
        draw(
            figures.why(looked),
            target,
            f"why_{arm.settings['model']}",
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
    """Of each model the first run with spikes, or without any the first run."""
    first: dict[str, tuple[Arm, Diagnosed]] = {}
    for arm, looked in diagnosed:
        for each in looked:
            _, known = first.setdefault(arm.settings["model"], (arm, each))
            if each.run.result.spikes and not known.run.result.spikes:
                first[arm.settings["model"]] = arm, each
    spiking = sorted(first.values(), key=lambda each: not each[1].run.result.spikes)
    return spiking[:MOST_RUNS]
