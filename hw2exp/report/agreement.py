"""Show which measures rank arms alike, and how much the loss depends on the learning rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hw2exp.compare.measures import MEASURES, by_rates
from hw2exp.diagnostics.rank_correlation import rank_correlations
from hw2exp.diagnostics.statistics import Estimate, mean
from hw2exp.records.arm_names import names
from hw2exp.records.arms import Arm
from hw2exp.report.measures import SHOWN, ArmMeasures
from hw2exp.report.tables import cell, columns, number, plain, write_table

SENSITIVITY = "lr_sensitivity"

LEAST_RATES = 3
"""Least number of learning rates for a sensitivity."""

LEAST = 8
"""Least number of arms for a rank correlation."""

LEFT_OUT = ("test_loss_mean",)
"""Measures left out because a similar one is in the table."""


@dataclass(frozen=True)
class Sensitivity:
    """The learning-rate sensitivity of arms that differ in the learning rate alone.

    Args:
        name: the settings that distinguish them from others.
        arms: the arms, by rising learning rate.
        seeds: the number of seeds with a run at each rate.
        value: the mean sensitivity over seeds.
    """

    name: str
    arms: Sequence[Arm]
    seeds: int
    value: Estimate


@dataclass(frozen=True)
class Agreement:
    """The rank correlations of measures.

    Args:
        over: what was ranked, as text, and how many of them.
        measures: the headings of the measures.
        correlations: the correlation of each pair of measures, by their headings.
    """

    over: tuple[str, int]
    measures: Sequence[str]
    correlations: dict[tuple[str, str], Estimate]


@dataclass(frozen=True)
class Agreed:
    """The agreement of measures in a chapter.

    Args:
        sensitive: the learning-rate sensitivity of each group of arms.
        agreements: the rank correlations of measures, over arms and over groups of arms.
    """

    sensitive: Sequence[Sensitivity]
    agreements: Sequence[Agreement]


def make_agreed(measured: Sequence[ArmMeasures], target: Path) -> Agreed:
    """Measure the sensitivity and the agreement of measures, and write their tables.

    Args:
        measured: the measures of all arms.
        target: the folder for the tables.
    """
    sensitive = sensitivities([each.arm for each in measured])
    found = agreements(measured, sensitive)
    if sensitive:
        write_table(sensitivity_rows(sensitive), target, SENSITIVITY)
    if found:
        write_table(agreement_rows(found), target, "agreement")
    return Agreed(sensitive, found)


def sensitivities(arms: Sequence[Arm]) -> list[Sensitivity]:
    """Return the sensitivity of each group of arms with ``LEAST_RATES`` learning rates or more."""
    groups = {key: own for key, own in by_rates(arms).items() if len(own) >= LEAST_RATES}
    found = []
    for name, group in zip(names([dict(key) for key in groups]), groups.values(), strict=True):
        if values := [*MEASURES[SENSITIVITY].by_seed(group).values()]:
            ordered = sorted(group, key=lambda arm: arm.rate)
            found.append(Sensitivity(name, ordered, len(values), mean(values)))
    return found


def agreements(
    measured: Sequence[ArmMeasures], sensitive: Sequence[Sensitivity]
) -> list[Agreement]:
    """Return the rank correlations of measures, if there are ``LEAST`` arms or more.

    Learning-rate sensitivity belongs to a group of arms: it is correlated with the means of the
    other measures over each group, if there are ``LEAST`` groups or more.

    Args:
        measured: the measures of all arms.
        sensitive: the learning-rate sensitivity of each group of arms.
    """
    fields = [field for field in SHOWN if field not in LEFT_OUT]
    of_arms = {SHOWN[f][1]: np.array([getattr(each, f).value for each in measured]) for f in fields}
    if len(measured) < LEAST:
        return []
    found = [_agreement("arms", of_arms)]
    if len(sensitive) >= LEAST:
        place = {each.arm.name: n for n, each in enumerate(measured)}
        rows = [[place[arm.name] for arm in each.arms] for each in sensitive]
        of_groups = {MEASURES[SENSITIVITY].words: np.array([e.value.value for e in sensitive])}
        of_groups |= {
            name: np.array([values[own].mean() for own in rows]) for name, values in of_arms.items()
        }
        found.append(_agreement("groups of arms that differ in the learning rate alone", of_groups))
    return [each for each in found if each.correlations]


def _agreement(over: str, values: dict[str, np.ndarray[Any, Any]]) -> Agreement:
    """Correlate the measures that are known for all arms or groups, and are not constant."""
    told = {
        name: own for name, own in values.items() if not np.isnan(own).any() and len({*own}) > 1
    }
    return Agreement((over, len(next(iter(values.values())))), [*told], rank_correlations(told))


def sensitivity_rows(found: Sequence[Sensitivity]) -> list[dict[str, Any]]:
    """Make a row for each group of arms."""
    return [
        {"arms": each.name, "rates": len(each.arms), "lowest": each.arms[0].rate}
        | {"highest": each.arms[-1].rate, "seeds": each.seeds}
        | columns(SENSITIVITY, each.value)
        for each in found
    ]


def sensitivity_cells(each: Sensitivity) -> list[dict[str, Any]]:
    """Return a group's cells on the page."""
    rates = " … ".join(f"{arm.rate:g}" for arm in (each.arms[0], each.arms[-1]))
    return [plain(len(each.arms), f"{len(each.arms)}: {rates}"), plain(each.seeds),
            cell(each.value, number)]  # fmt: skip


def agreement_rows(found: Sequence[Agreement]) -> list[dict[str, Any]]:
    """Make a row for each pair of measures."""
    return [
        {"over": each.over[0], "number": each.over[1], "measure": one, "other": other}
        | columns("rank_correlation", own)
        for each in found
        for (one, other), own in each.correlations.items()
    ]


def agreement_cells(each: Agreement, one: str) -> list[dict[str, Any]]:
    """Return a measure's row of the page's table: its correlation with those before it."""
    before = each.measures[: each.measures.index(one)]
    return [
        cell(each.correlations[other, one], lambda value: f"{value:+.2f}".replace("-", "−"))
        for other in before
    ]
