"""Judge part 1.3 (a) to (c) by interventions: on spikes about to happen, and if they stay on."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import TypeVar

from hw2exp.records.moments import Kind
from hw2exp.report.before_spikes import FEWEST as FEWEST_RUNS
from hw2exp.report.claim import Claim, Evidence, Finding, Judge, Judged, against_half, finding_of
from hw2exp.report.comparisons import change_text
from hw2exp.report.cures import called, of_verdicts
from hw2exp.report.effects import MAIN_LEAD, Effect, at_main_lead, main_effects
from hw2exp.report.lasting import Lasting
from hw2exp.report.measures import SIGNIFICANT
from hw2exp.report.spikes import FEWEST
from hw2exp.report.tables import percent, points, within
from hw2exp.system.problems import counted

Chosen = Callable[[Effect | Lasting], bool]

T = TypeVar("T", Effect, Lasting)


def most_do_not_happen(do: str) -> Judge:
    """Return the judge of whether most spikes of an arm do not happen with an intervention."""

    def judge(evidence: Evidence) -> Iterable[Judged]:
        for each in at_main_lead(evidence.effects):
            if each.do != do or not each.spikes:
                continue
            most = against_half(each.net_gone)
            numbers = (
                f"{within(each.net_gone, percent)} of {counted(each.spikes, 'spike')} in "
                f"{counted(each.runs, 'run')} do not happen, net of the placebo; at "
                f"{within(each.provoked, percent)} of {counted(each.quiet, 'quiet moment')} a "
                "spike is provoked"
            )
            own = [one for one in evidence.lasting if (one.arm, one.do) == (each.arm, do)]
            if own:
                numbers += f"; if it stays on, spikes per 1,000 steps {_changes(own)}"
            enough = each.spikes >= FEWEST and each.runs >= FEWEST_RUNS
            finding = most if enough else Finding.UNDECIDED
            yield Judged(each.arm.short_name, finding, numbers)

    return judge


def prevents(chosen: Chosen) -> Judge:
    """Return the judge of whether interventions prevent more spikes than they provoke."""

    def judge(evidence: Evidence) -> Iterable[Judged]:
        found = [each for each in main_effects(evidence.effects) if each.spikes and each.quiet]
        for where, members in _by_cure([each for each in found if chosen(each)]):
            signs = {each.effect.value > 0 for each in members if _significant(each)}
            names = called([each.arm for each in members])
            parts = [f"{names[each.arm.name]} {_effect(each)}" for each in members]
            yield Judged(where, finding_of(signs == {True}, signs == {False}), "; ".join(parts))

    return judge


def takes_away(chosen: Chosen) -> Judge:
    """Return the judge of whether cures that stay on take spikes away."""

    def judge(evidence: Evidence) -> Iterable[Judged]:
        for where, members in _by_cure([each for each in evidence.lasting if chosen(each)]):
            names = called([each.arm for each in members])
            parts = [
                f"{names[name]} {_changes(list(own))}"
                for name, own in groupby(members, lambda each: each.arm.name)
            ]
            yield Judged(where, of_verdicts(members), "; ".join(parts))

    return judge


def _by_cure(found: Sequence[T]) -> Iterable[tuple[str, list[T]]]:
    """Group effects by optimizer and cure."""

    def where(each: T) -> str:
        return f"{each.arm.optimizer} {each.do}"

    for name, group in groupby(sorted(found, key=where), key=where):
        yield name, list(group)


def _significant(each: Effect) -> bool:
    return each.effect.pvalue < SIGNIFICANT


def _effect(each: Effect) -> str:
    return (
        f"{points(each.effect.value)}{'*' * _significant(each)} ({percent(each.net_gone.value)} "
        f"less {percent(each.net_provoked.value)})"
    )


def _changes(members: Sequence[Lasting]) -> str:
    return ", ".join(
        f"{change_text(each, ['ends_solved'])} from step {each.start:,}" for each in members
    )


def _clips(each: Effect | Lasting) -> bool:
    return each.kind in (Kind.NORM, Kind.VALUE, Kind.ZCLIP)


def _slows(each: Effect | Lasting) -> bool:
    return each.do.startswith(("lr*0.", "schedule=")) and each.kind != Kind.PLACEBO


TRIED = (
    f"a branch of the run from {MAIN_LEAD} steps before the spike, or the lead nearest to that, "
    "with the same data, against the run; net of the placebo: less the spikes that do not happen "
    "with a dose that should do nothing"
)
MOST = (
    f"{TRIED}. More than half, by a bootstrap interval over runs; refuted if less than half; of "
    f"{FEWEST} spikes or more in {FEWEST_RUNS} runs or more"
)
PREVENTS = (
    f"{TRIED}; the share of spikes that do not happen, less the share of as many quiet moments at "
    "which a spike happens, both net of the placebo; * where its p-value, by turning the signs of "
    "the runs' contributions and corrected for the number of interventions, is below "
    f"{SIGNIFICANT}. Supported if it prevents more with at least one model and less with none"
)
STAYS = (
    "spikes per 1,000 steps with the cure on from a step of a run trained without, less those of "
    "the run itself, on the same seeds and data; otherwise as for cures from the first step on"
)

CLAIMS = (
    Claim(
        "1.3 (a)",
        "The spikes come from exploding gradients: clipped by norm 1, they do not happen",
        MOST,
        most_do_not_happen("clip=norm clip.max_norm=1"),
    ),
    Claim(
        "1.3 (b)",
        "The parameters move too far: with a tenth of the learning rate, spikes do not happen",
        MOST,
        most_do_not_happen("lr*0.1"),
    ),
    Claim("1.3 (c)", "Clipping prevents spikes about to happen", PREVENTS, prevents(_clips)),
    Claim("1.3 (c)", "Clipping that stays on takes spikes away", STAYS, takes_away(_clips)),
    Claim(
        "1.3 (c)",
        "A lower learning rate prevents spikes about to happen",
        PREVENTS,
        prevents(_slows),
    ),
    Claim(
        "1.3 (c)",
        "A learning rate that stays lower takes spikes away",
        STAYS,
        takes_away(_slows),
    ),
)
