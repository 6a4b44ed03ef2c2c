"""What a claim is: its words, its rule, and what runs say of it."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hw2exp.records.runs import Arm
from hw2exp.report.measures import Comparison
from hw2exp.statistics import Estimate


class Finding(StrEnum):
    """What runs say of a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Judged:
    """What is found of a claim in a setting.

    Args:
        setting: where; nothing if everywhere.
        finding: what.
        numbers: that decided.
    """

    setting: str
    finding: Finding
    numbers: str


Judge = Callable[[Sequence[Arm], Sequence[Comparison]], Iterable[Judged]]
"""From all arms and comparisons to a finding for each setting."""


@dataclass(frozen=True)
class Claim:
    """A claim.

    Args:
        part: of the write-up, or where else it comes from.
        words: what it says.
        rule: what is measured, and what decides.
        judge: decides.
    """

    part: str
    words: str
    rule: str
    judge: Judge


def against_half(low: float, high: float) -> Finding:
    """Whether a share is more than half.

    Args:
        low: its interval's lower end.
        high: the upper one.
    """
    if low > 0.5:
        return Finding.SUPPORTED
    return Finding.REFUTED if high < 0.5 else Finding.UNDECIDED


def percent(value: float) -> str:
    """Write a share.

    Args:
        value: from 0 to 1.
    """
    return "–" if math.isnan(value) else f"{100 * value:.0f} %"


def within(estimate: Estimate, written: Callable[[float], str]) -> str:
    """Write an estimate with its interval; alone where there is none, as of a single run.

    Args:
        estimate: the estimate.
        written: how to write a value.
    """
    value = written(estimate.value)
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return value
    return f"{value} [{written(estimate.low)}, {written(estimate.high)}]"


def signed(value: float) -> str:
    """Write a difference.

    Args:
        value: the difference.
    """
    rounded = round(value, 1) + 0.0  # no -0.0
    return f"{rounded:+.1f}".replace("-", "−")
