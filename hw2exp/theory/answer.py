"""Hold an answer: the write-up's claim, the right formula, the checks that ran, and a verdict."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Verdict(StrEnum):
    """A judgment of a claim."""

    HOLDS = "holds"
    CORRECTED = "holds with a correction"
    PARTLY = "holds in part"
    FALSE = "false"
    OPEN = "undecided"


@dataclass(frozen=True)
class Check:
    """The outcome of a comparison.

    Args:
        what: the two sides, and the cases on which they were compared.
        error: the largest deviation found; NaN fails.
        tolerance: the largest deviation that passes.
    """

    what: str
    error: float
    tolerance: float = 1e-10

    @property
    def passed(self) -> bool:
        """Return whether both sides agree."""
        return self.error <= self.tolerance


@dataclass(frozen=True)
class Answer:
    """One part of the write-up.

    Args:
        part: its number in the write-up, ``1.2.2 (e)``.
        title: the question.
        claim: the write-up's answer.
        formula: the right answer.
        checks: evidence for the formula; all must pass.
        verdict: the judgment of the claim.
        because: the reason for the verdict: a correction or a counterexample.
        numbers: computed values, each as a line.
        measured: whether the claim is about trained networks; ``formula`` then describes the
            measurement.
        figures: functions that draw a figure into a path, by file name.
        commands: shell commands for a closer look.
    """

    part: str
    title: str
    claim: str
    formula: str
    checks: Sequence[Check]
    verdict: Verdict
    because: str
    numbers: Sequence[str] = ()
    measured: bool = False
    figures: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
    commands: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        """Return whether every check passed."""
        return all(check.passed for check in self.checks)


def judge(stands: bool, otherwise: Verdict) -> Verdict:
    """Return the verdict on a claim evaluated as written.

    Args:
        stands: whether the claim holds.
        otherwise: the verdict if it does not.
    """
    return Verdict.HOLDS if stands else otherwise


def decide(found: Iterable[bool | None]) -> Verdict:
    """Return the verdict on a claim tested in several settings, or made of several claims.

    The claim holds in part if only some of them hold, because no correction makes the others right.

    Args:
        found: whether the claim holds in each setting, or each claim holds; None if undecided.
    """
    known = list(found)
    if known and all(known):
        return Verdict.HOLDS
    if any(known):
        return Verdict.PARTLY
    return Verdict.OPEN if None in known or not known else Verdict.FALSE
