"""Judge part 1.3 (a) to (c) by interventions: on spikes about to happen, and if they stay on."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import TypeVar

from hw2exp.diagnostics.paired_tests import SIGNIFICANT
from hw2exp.records.moments import Family
from hw2exp.report.before_spikes import FEWEST as FEWEST_RUNS
from hw2exp.report.claim import (
    Claim,
    Evidence,
    Finding,
    Judge,
    Judged,
    against_half,
    finding_by,
    finding_of,
)
from hw2exp.report.comparisons import change_text
from hw2exp.report.cures import called
from hw2exp.report.effects import MAIN_LEAD, OTHER_DATA, Effect, at_main_lead, main_effects
from hw2exp.report.lasting import Lasting
from hw2exp.report.spikes import FEWEST
from hw2exp.report.tables import percent, points, within
from hw2exp.system.problems import counted

Chosen = Callable[[Effect | Lasting], bool]

T = TypeVar("T", Effect, Lasting)


def most_spikes(do: str, share: str) -> Judge:
    """Return the judge of whether an intervention acts on most spikes of an arm.

    Args:
        do: the intervention.
        share: the deciding share, a field of an effect.
    """

    def judge(evidence: Evidence) -> Iterable[Judged]:
        for each in _plain(at_main_lead(evidence.effects)):
            if each.do == do and each.spikes:
                enough = each.spikes >= FEWEST and each.runs >= FEWEST_RUNS
                finding = against_half(getattr(each, share)) if enough else Finding.UNDECIDED
                yield Judged(each.arm.short_name, finding, _numbers(each, evidence))

    return judge


def _numbers(each: Effect, evidence: Evidence) -> str:
    """Write what an intervention does at once, what other data do, and what it does if it stays."""
    parts = [
        f"of {counted(each.spikes, 'spike')} in {counted(each.runs, 'run')}, net of the placebo, "
        f"{within(each.net_gone, percent)} do not happen, {within(each.net_prevented, percent)} "
        "are prevented"
    ]
    for other in at_main_lead(evidence.effects):
        if other.arm is each.arm and other.do == OTHER_DATA:
            shares = other.net_gone, other.net_prevented
            parts.append("with other data " + " and ".join(percent(own.value) for own in shares))
    quiet = counted(each.quiet, "quiet moment")
    parts.append(f"a spike is provoked at {within(each.provoked, percent)} of {quiet}")
    stays = [one for one in evidence.lasting if one.arm is each.arm and one.do == each.do]
    if stays:
        parts.append(f"if it stays on, spikes per 1,000 steps {_changes(stays)}")
    return "; ".join(parts)


def prevents(chosen: Chosen) -> Judge:
    """Return the judge of whether interventions prevent more spikes than they provoke."""

    def judge(evidence: Evidence) -> Iterable[Judged]:
        found = [each for each in _plain(main_effects(evidence.effects)) if chosen(each)]
        for where, members in _by_cure([each for each in found if each.spikes and each.quiet]):
            signs = {_sign(each) for each in members} - {None}
            names = called([each.arm for each in members])
            parts = [f"{names[each.arm.name]} {_effect(each)}" for each in members]
            yield Judged(where, finding_of(signs == {True}, signs == {False}), "; ".join(parts))

    return judge


def takes_away(chosen: Chosen) -> Judge:
    """Return the judge of whether cures that stay on take spikes away."""

    def judge(evidence: Evidence) -> Iterable[Judged]:
        found = [each for each in _plain(evidence.lasting) if chosen(each)]
        for where, members in _by_cure(found):
            names = called([each.arm for each in members])
            parts = [
                f"{names[name]} {_changes(list(own))}"
                for name, own in groupby(members, lambda each: each.arm.name)
            ]
            yield Judged(
                where, finding_by((each.verdict for each in members), less=True), "; ".join(parts)
            )

    return judge


def _plain(found: Sequence[T]) -> list[T]:
    """Return the effects on runs without cures."""
    return [each for each in found if not each.arm.cures]


def _by_cure(found: Sequence[T]) -> Iterable[tuple[str, list[T]]]:
    """Group effects by optimizer and cure."""

    def where(each: T) -> str:
        return f"{each.arm.optimizer} {each.do}"

    for name, group in groupby(sorted(found, key=where), key=where):
        yield name, list(group)


def _significant(each: Effect) -> bool:
    return each.effect.pvalue < SIGNIFICANT


def _sign(each: Effect) -> bool | None:
    """Return whether an intervention prevents more spikes than it provokes; None if undecided.

    Other data prevent spikes too, because they take the run elsewhere; an intervention must prevent
    more than they do.
    """
    if not _significant(each):
        return None
    return (each.over_data.low > 0 or None) if each.effect.value > 0 else False


def _effect(each: Effect) -> str:
    shares = (
        f"{percent(each.net_gone.value)} less {percent(each.net_provoked.value)}; "
        f"{percent(each.prevented.value)} prevented"
    )
    if not math.isnan(each.over_data.value):
        shares += f", {within(each.over_data, points)} against other data"
    return f"{points(each.effect.value)}{'*' * _significant(each)} ({shares})"


def _changes(members: Sequence[Lasting]) -> str:
    return ", ".join(
        f"{change_text(each, ['ends_solved'])} from step {each.start:,}" for each in members
    )


def _clips(each: Effect | Lasting) -> bool:
    return each.kind in (Family.NORM, Family.VALUE, Family.ZCLIP)


def _slows(each: Effect | Lasting) -> bool:
    return each.do.startswith(("lr*0.", "schedule=")) and each.kind != Family.PLACEBO


TRIED = (
    f"branches of runs without cures from {MAIN_LEAD} steps before the spike, or the lead nearest "
    "to that, net of the placebo: less those with a dose that should do nothing"
)
MOST = (
    f"{TRIED}. More than half, by a bootstrap interval over runs; refuted if less than half; of "
    f"{FEWEST} spikes or more in {FEWEST_RUNS} runs or more"
)
PREVENTED = (
    "the share of spikes that do not happen, without an earlier, later or higher one instead, in "
    f"{MOST}. Other data show how many do not happen because the run goes elsewhere"
)
PREVENTS = (
    "the share of spikes that do not happen, less the share of as many quiet moments at which a "
    f"spike happens, in {TRIED}; * where its p-value, by turning the signs of the runs' "
    f"contributions and corrected for the number of interventions, is below {SIGNIFICANT}. "
    "Supported if it prevents more with at least one model and less with none; more counts only if "
    "a larger share is prevented than with other data, by an interval"
)
STAYS = (
    "spikes per 1,000 steps with the cure on from a step of a run without cures, less those of "
    "the run itself, on the same seeds and data; otherwise as for cures from the first step on"
)

CLAIMS = (
    Claim(
        "1.3 (a)",
        "The spikes come from exploding gradients: clipped by norm 1, they are prevented",
        PREVENTED,
        most_spikes("clip=norm clip.max_norm=1", "net_prevented"),
    ),
    Claim(
        "1.3 (b)",
        "The parameters move too far: with a tenth of the learning rate, spikes are prevented",
        PREVENTED,
        most_spikes("lr*0.1", "net_prevented"),
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
    Claim(
        "PaLM, 5.1",
        "A spike needs its data: with other batches around it, it does not happen",
        f"the share of spikes that do not happen in {MOST}; other data in the two steps before its "
        "first, in that step and in the two after",
        most_spikes(f"{OTHER_DATA} around=2", "net_gone"),
    ),
)
