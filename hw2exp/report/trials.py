"""Measure what interventions did to the spikes of a chapter's runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hw2exp.records.arms import Arm
from hw2exp.report.branches import read_tried
from hw2exp.report.effects import Effect, effect_rows, effects
from hw2exp.report.lasting import Lasting, lasting, lasting_rows
from hw2exp.report.tables import write_table


@dataclass(frozen=True)
class Trials:
    """The trials of interventions on a chapter's runs; empty if there are none.

    Args:
        effects: the effects on spikes.
        lasting: the effects of cures that stay on.
        notes: lines about branches left out.
    """

    effects: Sequence[Effect]
    lasting: Sequence[Lasting]
    notes: Sequence[str]


def make_trials(arms: Sequence[Arm], target: Path) -> Trials:
    """Measure the effects of interventions; write their tables into an existing folder.

    Raises:
        OSError: a file can't be written.
    """
    tried, notes = read_tried(arms)
    found = Trials(effects(tried), lasting(tried), notes)
    if found.effects:
        write_table(effect_rows(found.effects), target, "effects")
    if found.lasting:
        write_table(lasting_rows(found.lasting), target, "lasting")
    return found
