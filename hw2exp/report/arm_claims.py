"""Judge claims that some arms have less, or more, of a measure than others; read them from a file.

``claims.yaml`` beside this module holds ours. These claims have another form, and stay code:

- :mod:`hw2exp.report.spikes`: shares of an arm's spikes, and where its runs start.
- :mod:`hw2exp.report.intervention_claims`: what branches of a run do, net of a placebo's.
- :mod:`hw2exp.report.brake`: what follows an explosion, by stage of learning and by intervals.
- :mod:`hw2exp.report.gated_rnn`: two models by Fisher's exact test, and how far gradients reach.
- :mod:`hw2exp.report.published`: runs against published numbers.
- :mod:`hw2exp.report.lengths`: three methods in order, over several lengths at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from hw2exp.compare.contrasts import Contrast, comparable, contrasts, decided, on_divergence, paired
from hw2exp.compare.measures import measure_of
from hw2exp.compare.sides import Side
from hw2exp.diagnostics.paired_tests import SIGNIFICANT
from hw2exp.records.arm_pairs import partners, references
from hw2exp.records.arms import NO_CURE, Arm
from hw2exp.report.claim import Claim, Evidence, Finding, Judged, finding_by
from hw2exp.report.comparisons import Comparison, change_text, compare, divergence_text
from hw2exp.report.cures import called
from hw2exp.system.problems import show

SPIKES = "spikes"

BARE = "model", "optimizer"
"""Choices that a finding's setting names without their group."""


@dataclass(frozen=True)
class ArmsClaim:
    """A claim that some arms have less, or more, of a measure than others.

    Args:
        part: the part of the write-up, or another source.
        words: the claim's text.
        arms: the arms that the claim is about.
        against: the arms to compare them with; a pair may differ only in keys that a side names.
        measure: the name of the measure.
        less: whether the claim is that they have less; else, that they have more.
        by: keys; each combination of their values has its own finding.
        same_rate: whether only arms at the same learning rate count.
        divergence_decides: whether the shares of diverged runs, where they differ, decide in place
            of a measure that is cut short; if not, nothing decides there.
    """

    part: str
    words: str
    arms: Side
    against: Side
    measure: str
    less: bool
    by: Sequence[str]
    same_rate: bool
    divergence_decides: bool

    @property
    def rule(self) -> str:
        """Return the measured quantity and the criterion, as text."""
        return rule_text(self)

    def pairs(self, arms: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
        """Return the pairs of arms to compare."""
        named = tuple(dict.fromkeys((*self.arms.keys, *self.against.keys)))
        found = partners(self.arms.of(arms), self.against.of(arms), named)
        return [pair for pair in found if not self.same_rate or pair[0].rate == pair[1].rate]

    def judge(self, evidence: Evidence) -> Iterable[Judged]:
        """Yield a finding for each setting."""
        known = {(one.name, other.name) for one, other in self.pairs(evidence.arms)}
        found = [each for each in _members(evidence, self.measure) if each.names & known]
        for where, group in groupby(sorted(found, key=self._where), key=self._where):
            members = list(group)
            yield Judged(" ".join(where).strip(), self._finding(members), _describe(members))

    def _where(self, member: "Member") -> tuple[str, str]:
        """Return the setting of a finding, and the kind of learning rate."""
        settings, told = member.arm.settings, []
        for key in self.by:
            if key in BARE:
                told.append(str(settings[key]))
            elif settings.get(key, NO_CURE.get(key)) != NO_CURE.get(key):
                told.append(f"{key}={show(settings[key])}")
        where = " ".join(told) or ("no cure" if self.by else "")
        return where, "at its own rate" if member.own_rate else ""

    def _finding(self, members: Sequence["Member"]) -> Finding:
        deciding = [
            each for each in members if self.divergence_decides or not on_divergence(each.verdict)
        ]
        return finding_by((each.verdict for each in deciding), self.less)


@dataclass(frozen=True)
class Member:
    """One of the comparisons that decide a claim.

    Args:
        names: the names of the arms compared.
        arm: an arm of the first side.
        own_rate: whether the sides differ in the learning rate.
        verdict: the verdict of the comparison.
        text: the numbers, as text.
    """

    names: set[tuple[str, str]]
    arm: Arm
    own_rate: bool
    verdict: str
    text: str


def _members(evidence: Evidence, measure: str) -> list[Member]:
    if measure == SPIKES:
        shares = "solved", "ends_solved"
        return [
            Member(
                {(each.cured.name, each.plain.name)},
                each.cured,
                each.own_rate,
                each.verdict,
                change_text(each, shares),
            )
            for each in (*evidence.compared, *evidence.asked)
        ]
    return [
        Member(
            {(one.name, other.name) for one in each.paired.a for other in each.paired.b},
            each.paired.a[0],
            len({tuple(arm.rate for arm in own) for own in (each.paired.a, each.paired.b)}) > 1,
            each.verdict,
            contrast_text(each),
        )
        for each in evidence.contrasts.get(measure, ())
    ]


def contrast_text(each: Contrast) -> str:
    """Write a comparison's difference, with a star where it is significant."""
    if each.diverged is not None and not comparable(each.diverged):
        return divergence_text(each.diverged, each.verdict)
    star = "*" * decided(each.verdict)
    d = each.difference
    interval = f"[{d.low:+.3g}, {d.high:+.3g}]"
    return f"{d.value:+.3g}{star} {interval}".replace("-", "−")


def _describe(members: Sequence[Member]) -> str:
    names = called([each.arm for each in members])
    return "; ".join(f"{names[each.arm.name]} {each.text}" for each in members)


def rule_text(claim: ArmsClaim) -> str:
    """Write the measured quantity and the criterion of a claim."""
    own = measure_of(claim.measure)
    one, other = ("less", "more") if claim.less else ("more", "less")
    rates = "have the same learning rate" + ", or each its own" * (not claim.same_rate)
    parts = [
        f"{own.words}: the difference between runs with {claim.arms} and runs with {claim.against}",
        "Pairs of runs have the same seed, and the same settings but those named",
        f"The two sides {rates}",
        f"Supported if at least one arm has {one} and none has {other}; refuted if at least one "
        f"has {other} and none has {one}",
        f"A star marks p < {SIGNIFICANT}, by turning signs, corrected for the comparisons' number",
    ]
    if own.cut_short:
        parts.append(
            "A run that diverges has no time for more. So where more runs may diverge on one side "
            f"(p < {SIGNIFICANT}, not corrected), this measure decides nothing"
        )
        if claim.divergence_decides:
            parts.append(
                f"Where they do diverge more (p < {SIGNIFICANT}, corrected), the shares of "
                "diverged runs decide instead"
            )
    if claim.measure == SPIKES:
        parts.append(
            "In brackets, where it is significant: the change in the share of runs that solve the "
            "task, and that end solved. Runs that never leave ln 4 have no spikes either"
        )
    return ". ".join(parts)


AnyClaim = Claim | ArmsClaim


@dataclass(frozen=True)
class Comparisons:
    """The comparisons of a chapter.

    Args:
        cures: the comparisons of cures with none.
        asked: further comparisons in spikes, for which claims ask.
        contrasts: comparisons in other measures, for which claims ask, by measure.
    """

    cures: Sequence[Comparison]
    asked: Sequence[Comparison]
    contrasts: Mapping[str, Sequence[Contrast]]

    @property
    def seeds(self) -> list[int]:
        """Return the number of seeds of each comparison."""
        by_measure = [len(each.paired.seeds) for own in self.contrasts.values() for each in own]
        return [each.seeds for each in (*self.cures, *self.asked)] + by_measure


def compare_all(arms: Sequence[Arm], claims: Sequence[AnyClaim]) -> Comparisons:
    """Compare cures with none, and the pairs of arms for which claims ask.

    P-values are corrected for all comparisons of the arms in the same measure.
    """
    asked: dict[str, dict[tuple[str, str], tuple[Arm, Arm]]] = {}
    for claim in claims:
        if isinstance(claim, ArmsClaim):
            own = {(one.name, other.name): (one, other) for one, other in claim.pairs(arms)}
            asked.setdefault(claim.measure, {}).update(own)
    cures = {(one.name, other.name): (one, other) for one, other in references(arms)}
    found = compare([*(cures | asked.pop(SPIKES, {})).values()])
    return Comparisons(
        [each for each in found if (each.cured.name, each.plain.name) in cures],
        [each for each in found if (each.cured.name, each.plain.name) not in cures],
        {
            name: contrasts(
                paired(name, measure_of(name).groups([([a], [b]) for a, b in of.values()]))
            )
            for name, of in asked.items()
        },
    )
