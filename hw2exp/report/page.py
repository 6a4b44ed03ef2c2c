"""The page: one file, offline."""

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw2exp.records.runs import Arm
from hw2exp.report.claims import Claim, Finding, Judged, percent, signed
from hw2exp.report.measures import ArmMeasures, Comparison
from hw2exp.statistics import Estimate
from hw2exp.terminal import counted

HEADINGS = (
    "runs",
    "diverged",
    "solved",
    "spikes per 1,000 steps",
    "above the initial loss",
    "steps to solve, median",
    "test loss, median",
    "test loss, interquartile mean",
)


@dataclass(frozen=True)
class Drawn:
    """A figure on the page.

    Args:
        name: of its files.
        title: its heading.
        caption: what it shows.
        png: its bytes.
    """

    name: str
    title: str
    caption: str
    png: bytes


def render(
    folder: Path,
    measured: Sequence[ArmMeasures],
    compared: Sequence[Comparison],
    claims: Sequence[tuple[Claim, Sequence[Judged]]],
    figures: Sequence[Drawn],
    notes: Sequence[str],
) -> str:
    """Make the page.

    Args:
        folder: of the runs.
        measured: all arms.
        compared: cures against none.
        claims: what was found of the claims.
        figures: in their order.
        notes: lines about what is not on it.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("hw2exp.report", "."), autoescape=True, undefined=StrictUndefined
    )
    arms = [each.arm for each in measured]
    return environment.get_template("page.html.jinja").render(
        title=f"hw2exp: {folder.resolve().name}",
        folder=str(folder),
        command=f"python -m hw2exp.report {folder}",
        size=size_of(arms),
        summary=[*_summary(measured, claims), *notes],
        claims=claims,
        headings=HEADINGS,
        arms=[{"name": each.arm.name, "cells": _arm_cells(each)} for each in measured],
        comparisons=[
            {"name": each.cured.name, "against": each.plain.name, "cells": _comparison_cells(each)}
            for each in compared
        ],
        figures=[
            {
                "name": each.name,
                "title": each.title,
                "caption": each.caption,
                "png": base64.b64encode(each.png).decode(),
            }
            for each in figures
        ],
        common=_common(arms),
        versions=_versions(arms),
    )


def size_of(arms: Sequence[Arm]) -> str:
    """Say how much there is.

    Args:
        arms: all.
    """
    runs = sum(len(arm.runs) for arm in arms)
    return f"{counted(runs, 'run')} in {counted(len(arms), 'arm')}"


def _summary(
    measured: Sequence[ArmMeasures], claims: Sequence[tuple[Claim, Sequence[Judged]]]
) -> list[str]:
    """What a reader in a hurry should know."""
    results = [result for each in measured for result in each.arm.results]
    spiking = sum(bool(result.spikes) for result in results)
    lines = [
        f"{sum(r.solved_at is not None for r in results)} of {counted(len(results), 'run')} solved "
        f"the task, {sum(r.diverged_at is not None for r in results)} diverged; {spiking} had "
        f"spikes, {sum(len(r.spikes) for r in results):,} in all."
    ]
    if len(measured) > 1:
        most = max(measured, key=lambda each: each.spikes.value)
        best = max(measured, key=lambda each: each.solved.value)
        lines.append(
            f"Most spikes: {most.arm.name}, {number(most.spikes.value)} per 1,000 steps. "
            f"Most often solved: {best.arm.name}, {percent(best.solved.value)}."
        )
    counts = {
        kind: sum(each.finding is kind for _, judged in claims for each in judged)
        for kind in Finding
    }
    if any(counts.values()):
        told = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        lines.append(f"Claims of the write-up, by setting: {told}.")
    return lines


def _arm_cells(each: ArmMeasures) -> list[dict[str, Any]]:
    return [
        _plain(len(each.arm.runs)),
        _cell(each.diverged, percent),
        _cell(each.solved, percent),
        _cell(each.spikes, number),
        _cell(each.above_initial, number),
        _cell(each.steps_to_solve, _steps),
        _cell(each.test_loss, number),
        _cell(each.test_loss_mean, number),
    ]


def _comparison_cells(each: Comparison) -> list[dict[str, Any]]:
    return [
        _plain(each.seeds),
        _cell(each.spikes, signed),
        _plain(each.pvalue, f"{each.pvalue:.2g}"),
        _plain(each.verdict, style=each.verdict),
        _cell(each.solved, _points),
        _plain(each.pvalue_solved, f"{each.pvalue_solved:.2g}"),
    ]


def _plain(value: Any, text: str = "", style: str = "number") -> dict[str, Any]:
    return {"value": value, "text": text or str(value), "interval": "", "style": style}


def _cell(estimate: Estimate, written: Callable[[float], str]) -> dict[str, Any]:
    """An estimate above its interval; the value is what a browser sorts by."""
    value = "Infinity" if math.isinf(estimate.value) else estimate.value
    interval = f"{written(estimate.low)} … {written(estimate.high)}"
    cell = _plain(value, written(estimate.value))
    return cell | {"interval": "" if math.isnan(estimate.low) else interval}


def _points(value: float) -> str:
    return f"{100 * value:+.0f} %".replace("-", "−")


def _steps(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "never" if math.isinf(value) else f"{value:,.0f}"


def number(value: float) -> str:
    """Write a number in three digits.

    Args:
        value: the number; infinite where runs diverged.
    """
    if math.isinf(value):
        return "∞"
    return "–" if math.isnan(value) else f"{value:.3g}"


def _common(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    """Settings that all runs share."""
    shared: Mapping[str, str] = arms[0].settings
    return [
        (key, value)
        for key, value in shared.items()
        if all(arm.settings.get(key) == value for arm in arms)
    ]


def _versions(arms: Sequence[Arm]) -> list[str]:
    """Each combination of versions that runs were made on."""
    found = (result.versions for arm in arms for result in arm.results)
    return sorted({", ".join(f"{name} {value}" for name, value in own.items()) for own in found})
