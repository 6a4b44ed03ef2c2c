"""Compare two arms on the same seeds: the mean paired difference, and its p-value."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hw2exp.diagnostics.shares import share
from hw2exp.diagnostics.statistics import Estimate, Floats, known_values, mean, widened
from hw2exp.system.problems import counted

SIGNINGS = 99_999
"""Least number of sign patterns of a permutation test; all of them if there are fewer."""
BLOCK = 4_096
"""Sign patterns in a block."""
LEAST_CORRECTED = 0.005
"""Upper limit of a permutation test's smallest p-value, corrected for the number of tests."""

SIGNIFICANT = 0.05

LEAST_SEEDS = 1 + math.ceil(-math.log2(SIGNIFICANT))
"""Fewest seeds with which a comparison can be significant: with n seeds, p is at least 2/2ⁿ."""


@dataclass(frozen=True)
class Difference(Estimate):
    """The mean of the paired differences between two sides, such as a cure and none.

    Args:
        pvalue: the p-value of no difference, corrected for the number of comparisons.
        pvalue_alone: the same without the correction.
    """

    pvalue: float
    pvalue_alone: float


def differences(paired: Sequence[ArrayLike], units: Sequence[float]) -> list[Difference]:
    """Return the mean of each comparison's paired differences, with corrected p-values.

    Args:
        paired: for each comparison, one difference per seed, ``(R,)``.
        units: for each comparison, the smallest nonzero difference of a pair.
    """
    pvalues = paired_pvalues(paired)
    estimates = [mean_difference(*each) for each in zip(paired, units, strict=True)]
    return [
        Difference(each.value, each.low, each.high, *of_pair)
        for each, *of_pair in zip(estimates, adjusted(pvalues), pvalues, strict=True)
    ]


def mean_difference(differences: ArrayLike, unit: float) -> Estimate:
    """Return the mean of paired differences, with a bootstrap interval.

    If no pair differs, a bootstrap has no width. Then the interval is ± unit times the upper end of
    Wilson's interval for zero differing pairs. A mean of differences that cancel except for
    rounding is 0.

    Args:
        differences: one per seed, ``(R,)``.
        unit: the smallest nonzero difference of a pair.
    """
    found = mean(differences)
    if np.any(own := np.asarray(differences, float)):
        noise = 1e-12 * float(np.max(np.abs(own), where=np.isfinite(own), initial=0.0))
        ends = found.value, found.low, found.high
        return Estimate(*(0.0 if abs(each) < noise else each for each in ends))  # sums that cancel
    most = unit * share(0, np.size(differences)).high
    return widened(found, -most, most)


def too_few(seeds: Sequence[int]) -> str:
    """Return a line on comparisons with too few seeds to be significant, or an empty text.

    Args:
        seeds: the number of seeds of each comparison.
    """
    short = [each for each in seeds if each < LEAST_SEEDS]
    if not short:
        return ""
    number = f"{counted(len(short), 'comparison')} of {len(seeds):,}"
    return f"{number} with too few seeds for a p-value below {SIGNIFICANT}: it takes {LEAST_SEEDS}"


def adjusted(pvalues: Sequence[float]) -> list[float]:
    """Correct p-values for the number of comparisons (Benjamini & Hochberg 1995)."""
    from scipy.stats import false_discovery_control

    return [float(p) for p in false_discovery_control(pvalues)] if pvalues else []


def paired_pvalue(differences: ArrayLike, alternative: str = "two-sided") -> float:
    """Return the p-value of the hypothesis that paired differences have mean zero.

    Args:
        differences: one per seed, ``(R,)``; see :func:`paired_pvalues`.
        alternative: ``two-sided``, ``less`` or ``greater``.
    """
    return paired_pvalues([differences], alternative)[0]


def paired_pvalues(differences: Sequence[ArrayLike], alternative: str = "two-sided") -> list[float]:
    """Test for each comparison whether the mean of its paired differences is zero.

    This is a permutation test that flips signs. With few seeds it tries all sign patterns.
    Otherwise it draws random patterns, enough for the smallest p-value, corrected for the number of
    comparisons, to be at most ``LEAST_CORRECTED``: then a lone effect among many can be found.

    Args:
        differences: for each comparison, one difference per seed, ``(R,)``; with fewer than two
            seeds, the p-value is 1.
        alternative: ``two-sided``, ``less`` or ``greater``.

    Returns:
        The p-values, not corrected.
    """
    known = [known_values(each) for each in differences]
    patterns = max(SIGNINGS, math.ceil(len(known) / LEAST_CORRECTED))
    found = [1.0] * len(known)
    for seeds in {len(each) for each in known if len(each) > 1}:
        places = [place for place, each in enumerate(known) if len(each) == seeds]
        columns = np.stack([known[place] for place in places], axis=1)  # (R, comparisons)
        for place, p in zip(places, _by_turning(columns, patterns, alternative), strict=True):
            found[place] = float(p)
    return found


def _by_turning(columns: Floats, patterns: int, alternative: str) -> Floats:
    """Return for each column the share of sign patterns whose sum is at least as extreme."""
    observed = columns.sum(0)
    slack = 1e-9 * np.abs(columns).sum(0)  # equal sums differ by rounding
    extreme: Mapping[str, Callable[[Floats], Any]] = {
        "two-sided": lambda sums: np.abs(sums) >= np.abs(observed) - slack,
        "greater": lambda sums: sums >= observed - slack,
        "less": lambda sums: sums <= observed + slack,
    }
    complete = 2 ** len(columns)
    count = np.zeros(columns.shape[1])
    for signs in _signs(len(columns), min(patterns, complete), patterns >= complete):
        count += extreme[alternative](signs @ columns).sum(0)
    return count / complete if patterns >= complete else (count + 1) / (patterns + 1)


def _signs(seeds: int, patterns: int, all_of_them: bool) -> Iterator[Floats]:
    """Yield sign patterns in blocks ``(n, R)``: all in order, or random ones."""
    generator = np.random.default_rng(0)
    for first in range(0, patterns, BLOCK):
        rows = min(BLOCK, patterns - first)
        if all_of_them:
            bits = np.arange(first, first + rows)[:, None] >> np.arange(seeds) & 1
        else:
            bits = generator.integers(2, size=(rows, seeds), dtype=np.int8)
        yield np.asarray(1 - 2 * bits, float)
