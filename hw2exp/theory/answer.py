"""What an answer is: the write-up's claim, the right formula, the checks that ran, a verdict."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Verdict(StrEnum):
    """What became of a claim."""

    HOLDS = "holds"
    CORRECTED = "holds with a correction"
    PARTLY = "holds in part"
    FALSE = "false"
    OPEN = "undecided"


@dataclass(frozen=True)
class Check:
    """A comparison that was run.

    Args:
        what: the two sides, and on what.
        error: the largest deviation that was found; NaN fails.
        tolerance: the largest that passes.
    """

    what: str
    error: float
    tolerance: float = 1e-10

    @property
    def passed(self) -> bool:
        """Whether both sides agree."""
        return self.error <= self.tolerance


@dataclass(frozen=True)
class Answer:
    """One part of the write-up.

    Args:
        part: as the write-up numbers it, ``1.2.2 (e)``.
        title: what it asks for.
        claim: what the write-up says.
        formula: what is right.
        checks: that the formula is right; all must pass.
        verdict: about the claim.
        because: the correction or the counterexample; what decided.
        numbers: what was computed, a line each.
        measured: it is a claim about networks; ``formula`` says what was measured.
        figures: by file name, what draws it into a path.
        commands: what to run to know more.
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
        """Whether every check did."""
        return all(check.passed for check in self.checks)


def judge(stands: bool, otherwise: Verdict) -> Verdict:
    """Decide about a claim that was evaluated as it is written.

    Args:
        stands: it gave what is right.
        otherwise: what to call it if not: repairable, or false.
    """
    return Verdict.HOLDS if stands else otherwise


def decide(found: Iterable[bool | None]) -> Verdict:
    """Decide about a claim that was looked at in several settings, or that consists of several.

    It holds in part if some of them hold: no correction makes the others right.

    Args:
        found: whether it is so, in each; nothing where that can't be told.
    """
    known = list(found)
    if known and all(known):
        return Verdict.HOLDS
    if any(known):
        return Verdict.PARTLY
    return Verdict.OPEN if None in known or not known else Verdict.FALSE
