"""Judge claims on cures for spikes (part 1.3 c), and on clipping under RMSprop."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from hw2exp.records.arms import Arm
from hw2exp.report.claims.claim import Claim, Finding, Judge, Judged, signed
from hw2exp.report.measures import SIGNIFICANT, Comparison

Chosen = Callable[[Arm], bool]


def alone(group: str, *choices: str) -> Chosen:
    """Return the test for arms whose only cure is of a group.

    Args:
        group: the group of cures.
        choices: the accepted choices of the group; all by default.
    """

    def is_alone(arm: Arm) -> bool:
        chosen = arm.chosen_cures
        return set(chosen) == {group} and (not choices or chosen[group] in choices)

    return is_alone


def together(arm: Arm) -> bool:
    """Return whether an arm has several cures.

    Args:
        arm: the arm.
    """
    return len(arm.chosen_cures) > 1


def reduces_spikes(chosen: Chosen) -> Judge:
    """Return the judge of whether cures reduce spikes on the same seeds, by optimizer and cures.

    Args:
        chosen: the test for the arms that the claim is about.
    """

    def judge(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
        found = [each for each in compared if chosen(each.cured)]
        for where, group in groupby(sorted(found, key=_where), key=_where):
            members = list(group)
            verdicts = {each.verdict.split()[0] for each in members} - {"undecided"}
            finding = Finding.UNDECIDED
            if verdicts == {"fewer"}:
                finding = Finding.SUPPORTED
            elif verdicts == {"more"}:
                finding = Finding.REFUTED
            yield Judged(" ".join(where).strip(), finding, _told(members))

    return judge


def _where(compared: Comparison) -> tuple[str, str, str]:
    """Return the setting of a finding: optimizer, cures, and kind of learning rate."""
    own = "at its own rate" if compared.own_rate else ""
    return compared.cured.optimizer, compared.cured.cures, own


def _told(members: Sequence[Comparison]) -> str:
    """Write each comparison's difference, with a star where it is significant."""
    models = [each.cured.model for each in members]
    parts = []
    for each, model in zip(members, models, strict=True):
        name = model if models.count(model) == 1 else each.cured.name
        star = "*" if each.verdict in ("fewer", "more") else ""
        told = f"{name} {signed(each.spikes.value)}{star}"
        if not each.comparable:
            star = "*" * ("diverge" in each.verdict)
            told = f"{name} {signed(100 * each.diverged.value)} % diverge{star}"
        if each.pvalue_solved < SIGNIFICANT:
            told += f" (solved {signed(100 * each.solved.value)} %)"
        if each.pvalue_ends_solved < SIGNIFICANT:
            told += f" (ends solved {signed(100 * each.ends_solved.value)} %)"
        parts.append(told)
    return "; ".join(parts)


def clipping_makes_more(arms: Sequence[Arm], compared: Sequence[Comparison]) -> Iterable[Judged]:
    """Judge whether clipping alone adds spikes under RMSprop, at the same learning rate."""
    opposite = {
        Finding.SUPPORTED: Finding.REFUTED,
        Finding.REFUTED: Finding.SUPPORTED,
        Finding.UNDECIDED: Finding.UNDECIDED,
    }
    chosen = [
        each
        for each in compared
        if each.cured.optimizer == "rmsprop" and not each.own_rate and "diverge" not in each.verdict
    ]
    for judged in reduces_spikes(alone("clip", "norm"))(arms, chosen):
        yield Judged(judged.setting, opposite[judged.finding], judged.numbers)


COMPARED = (
    "spikes per 1,000 steps with the cure less without, on the same seeds, for each model under an "
    "optimizer; * where its p-value, by turning signs and corrected for the number of "
    f"comparisons, is below {SIGNIFICANT}; where the shares of runs that diverge differ so, these "
    "decide, and where they may differ (the same p-value without the correction) nothing does. "
    "Supported if fewer with at least one model and more with none; refuted if more with at least "
    "one and fewer with none. All settings but the cure are the same. At the same learning rate, "
    "and at the cure's own where that is another. In brackets, "
    "where they differ so, the shares of runs that solve the task at "
    "some time, and that end solved: runs that never leave ln 4 have no spikes either"
)

CLAIMS = (
    Claim("1.3 (c)", "We can clip the gradient", COMPARED, reduces_spikes(alone("clip"))),
    Claim(
        "1.3 (c)",
        "We can apply batch normalization",
        COMPARED,
        reduces_spikes(alone("norm", "batch")),
    ),
    Claim(
        "1.3 (c)",
        "We can use a learning rate scheduler",
        COMPARED,
        reduces_spikes(alone("schedule")),
    ),
    Claim(
        "beyond it",
        "Layer or QK normalization takes spikes away",
        COMPARED,
        reduces_spikes(alone("norm", "layer", "qk")),
    ),
    Claim("beyond it", "Cures together take spikes away", COMPARED, reduces_spikes(together)),
    Claim(
        "a first look",
        "Clipping makes more spikes under RMSprop",
        "as for clipping, the other way round, at the same learning rate",
        clipping_makes_more,
    ),
)
