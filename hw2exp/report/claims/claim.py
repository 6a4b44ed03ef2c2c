"""Define a claim, its rule and its findings, and write the numbers behind them."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hw2exp.diagnostics.statistics import Estimate
from hw2exp.records.arms import Arm
from hw2exp.report.measures import Comparison


class Finding(StrEnum):
    """The finding on a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


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


Judge = Callable[[Sequence[Arm], Sequence[Comparison]], Iterable[Judged]]
"""A function of all arms and comparisons that returns a finding for each setting."""


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


def against_half(low: float, high: float) -> Finding:
    """Judge whether a share is more than half.

    Args:
        low: the lower end of its interval.
        high: the upper end.
    """
    if low > 0.5:
        return Finding.SUPPORTED
    return Finding.REFUTED if high < 0.5 else Finding.UNDECIDED


def percent(value: float) -> str:
    """Write a share in percent.

    Args:
        value: the share, from 0 to 1.
    """
    return "–" if math.isnan(value) else f"{100 * value:.0f} %"


def within(estimate: Estimate, written: Callable[[float], str]) -> str:
    """Write an estimate with its interval, if it has one; a single run has none.

    Args:
        estimate: the estimate.
        written: the function that writes a value.
    """
    value = written(estimate.value)
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return value
    return f"{value} [{written(estimate.low)}, {written(estimate.high)}]"


def signed(value: float) -> str:
    """Write a difference with its sign, to one decimal.

    Args:
        value: the difference.
    """
    rounded = round(value, 1) + 0.0  # no -0.0
    return f"{rounded:+.1f}".replace("-", "−")
