"""Define a claim, its rule and its findings, and write the numbers behind them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from hw2exp.compare.contrasts import Contrast
from hw2exp.diagnostics.statistics import Estimate
from hw2exp.records.arms import Arm
from hw2exp.report.comparisons import Comparison
from hw2exp.report.effects import Effect
from hw2exp.report.lasting import Lasting


class Finding(StrEnum):
    """The finding on a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNDECIDED = "undecided"

    @property
    def meaning(self) -> str:
        """Return what the finding means, as a sentence without its full stop."""
        return {
            Finding.SUPPORTED: "by the rule that decides, these runs show what the claim says",
            Finding.REFUTED: "by the same rule, they show that the claim does not hold for them",
            Finding.UNDECIDED: "their numbers allow for both, or their settings disagree",
        }[self]


SURPRISE = (
    "A refuted claim is a result about these runs, not an error: with their model, their optimizer "
    "and their learning rate it does not hold. Check it with more seeds, then at another rate."
)


@dataclass(frozen=True)
class Judged:
    """A finding on a claim in one setting.

    Args:
        setting: the setting's name; empty for all runs.
        finding: the finding.
        numbers: the deciding numbers, as text.
    """

    setting: str
    finding: Finding
    numbers: str


@dataclass(frozen=True)
class Evidence:
    """The evidence by which claims are judged.

    Args:
        arms: all arms.
        compared: the comparisons of cures with none.
        effects: the effects of interventions on spikes.
        lasting: the effects of cures that stay on from a step.
        asked: further comparisons of arms in spikes, for which claims ask.
        contrasts: comparisons of arms in other measures, by measure.
    """

    arms: Sequence[Arm]
    compared: Sequence[Comparison] = ()
    effects: Sequence[Effect] = ()
    lasting: Sequence[Lasting] = ()
    asked: Sequence[Comparison] = ()
    contrasts: Mapping[str, Sequence[Contrast]] = field(default_factory=dict)


Judge = Callable[[Evidence], Iterable[Judged]]
"""A function that returns a finding for each setting."""


@dataclass(frozen=True)
class Claim:
    """A claim.

    Args:
        part: the part of the write-up, or another source.
        words: the claim's text.
        rule: the measured quantity and the criterion, as text.
        judge: the function that applies the rule.
    """

    part: str
    words: str
    rule: str
    judge: Judge


def finding_by(verdicts: Iterable[str], less: bool) -> Finding:
    """Return the finding of several comparisons; those that are decided must agree.

    Args:
        verdicts: their verdicts, see :func:`hw2exp.compare.contrasts.verdict_of`.
        less: whether the claim says that there is less, not more.
    """
    heads = {verdict.split()[0] for verdict in verdicts} - {"undecided"}
    fewer, more = bool(heads) and heads <= {"fewer", "less"}, heads == {"more"}
    return finding_of(fewer, more) if less else finding_of(more, fewer)


def finding_of(supported: bool, refuted: bool) -> Finding:
    """Return the finding of numbers that support or refute a claim; refutation prevails."""
    if refuted:
        return Finding.REFUTED
    return Finding.SUPPORTED if supported else Finding.UNDECIDED


def against_half(share: Estimate) -> Finding:
    """Judge whether a share is more than half, by its interval."""
    return finding_of(share.low > 0.5, share.high < 0.5)
