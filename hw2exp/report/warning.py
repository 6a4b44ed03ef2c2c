"""Judge which signals announce a spike and how many steps ahead, by their values at moments."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from hw2exp.compare.measures import PER
from hw2exp.config.run_files import WHATIF
from hw2exp.diagnostics.paired_tests import adjusted, paired_pvalues
from hw2exp.diagnostics.roc import Alarms, Scores
from hw2exp.diagnostics.statistics import Estimate
from hw2exp.records.arm_names import ALL
from hw2exp.records.arms import Arm, Run
from hw2exp.records.moments import SIGNAL, SIGNALS_FILE, MomentKind, read_moments
from hw2exp.records.signals import SIGNALS
from hw2exp.report.tables import cell, columns, number, percent, plain
from hw2exp.system.problems import counted

if TYPE_CHECKING:
    import polars

Measured = list[tuple[Run, "polars.DataFrame"]]


@dataclass(frozen=True)
class Warned:
    """How well a signal announces the spikes of an arm, some steps ahead.

    Args:
        arm: the arm's name, or ``ALL``.
        signal: one of ``SIGNALS``.
        lead: the number of steps ahead.
        scores: the signal's values.
        area: the area below its ROC curve: 0.5 announces nothing, and below it low values do.
        alarms: the alarm that is false about once per ``PER`` steps, see :meth:`Scores.alarms`; of
            the negated values if low values announce spikes.
        spikes: the runs' spikes per ``PER`` steps.
        pvalue: the p-value of an area of 0.5, corrected for the number of areas.
    """

    arm: str
    signal: str
    lead: int
    scores: Scores
    area: Estimate
    alarms: Alarms
    spikes: float
    pvalue: float = nan

    @property
    def strength(self) -> float:
        """Return how far the area is from one half."""
        return abs(self.area.value - 0.5)

    @property
    def side(self) -> str:
        """Return whether high or low values announce spikes."""
        return "high" if self.area.value >= 0.5 else "low"

    @property
    def false_alarms(self) -> Estimate:
        """Return the false alarms per ``PER`` steps."""
        false = self.alarms.false
        return Estimate(PER * false.value, PER * false.low, PER * false.high)

    @property
    def precision(self) -> Estimate:
        """Return the share of alarms that are followed by a spike this many steps later."""
        recall, false = self.alarms.recall, self.false_alarms
        ends = (recall.value, false.value), (recall.low, false.high), (recall.high, false.low)
        return Estimate(*(self.spikes * hit / (self.spikes * hit + miss) for hit, miss in ends))


def warned_of(arms: Sequence[Arm]) -> tuple[list[Warned], list[str]]:
    """Judge each signal and lead, of all arms together and of each arm whose runs have signals.

    Returns:
        The findings, and a line for each reason why signals were left out.
    """
    by_arm, left_out = _read(arms)
    together = {ALL: [each for own in by_arm.values() for each in own]} if len(by_arm) > 1 else {}
    found = [each for name, own in (together | by_arm).items() for each in _judge(name, own)]
    pvalues = adjusted(paired_pvalues([each.scores.differences() for each in found]))
    return [replace(each, pvalue=p) for each, p in zip(found, pvalues, strict=True)], left_out


def _read(arms: Sequence[Arm]) -> tuple[dict[str, Measured], list[str]]:
    """Read the signals of all runs that have some; the files are untrusted."""
    found: dict[str, Measured] = {}
    unread = 0
    for arm in arms:
        for run in arm.runs.values():
            path = run.folder / WHATIF / SIGNALS_FILE
            if not os.path.lexists(path):
                continue
            try:
                frame = read_moments(path, SIGNAL, run.result)
                kinds = set(frame["moment"]) <= {MomentKind.SPIKE, MomentKind.QUIET}
                if not kinds or frame.select("moment", "number", "lead").is_duplicated().any():
                    raise ValueError("a moment of another kind, or twice")
            except (OSError, ValueError):
                unread += 1
            else:
                found.setdefault(arm.name, []).append((run, frame))
    lines = [f"signals of {counted(unread, 'run')} left out: can't be read"] if unread else []
    return found, lines


def _judge(name: str, measured: Measured) -> Iterator[Warned]:
    """Yield the findings of each lead and signal that has values of both kinds of moments."""
    import polars

    frame = polars.concat(
        own.with_columns(
            seed=polars.lit(run.config.seed, polars.Int64), run=polars.lit(place, polars.Int64)
        )
        for place, (run, own) in enumerate(measured)
    )
    pair = ["run", "number", "lead"]  # a spike and its quiet moment
    frame = frame.filter(polars.struct(pair).is_duplicated())
    results = [run.result for run, _ in measured]
    spikes = PER * sum(len(r.spikes) for r in results) / sum(r.step for r in results)
    for lead in sorted(set(frame["lead"])):
        rows = frame.filter(polars.col("lead") == lead)
        for signal in SIGNALS:
            known = rows.filter(polars.col(signal).is_not_nan())
            events = (known["moment"] == MomentKind.SPIKE).to_numpy()
            if events.any() and not events.all():
                _, seeds = np.unique(known["seed"].to_numpy(), return_inverse=True)
                scores = Scores(known[signal].to_numpy(), events, seeds)
                area = scores.area()
                alarms = (scores if area.value >= 0.5 else scores.negated()).alarms(PER)
                yield Warned(name, signal, lead, scores, area, alarms, spikes)


def best_leads(found: Sequence[Warned]) -> list[Warned]:
    """Return the lead of each arm and signal with the area farthest from one half."""
    best: dict[tuple[str, str], Warned] = {}
    for each in found:
        known = best.setdefault((each.arm, each.signal), each)
        if (each.strength, each.lead) > (known.strength, known.lead):
            best[each.arm, each.signal] = each
    return list(best.values())


def warning_rows(found: Sequence[Warned]) -> list[dict[str, Any]]:
    """Make a row for each arm, signal and lead."""
    best = {(each.arm, each.signal, each.lead) for each in best_leads(found)}
    return [
        {
            "arm": each.arm,
            "signal": each.signal,
            "lead": each.lead,
            "seeds": int(each.scores.runs.max()) + 1,
            "spikes": int(each.scores.events.sum()),
            "quiet": int(each.scores.rest.sum()),
            **columns("area", each.area),
            "p_area": each.pvalue,
            "announced_by": each.side,
            **columns("recall", each.alarms.recall),
            **columns("false_alarms_per_1000", each.false_alarms),
            **columns("precision", each.precision),
            "best_lead": (each.arm, each.signal, each.lead) in best,
        }
        for each in found
    ]


def warning_cells(each: Warned) -> list[dict[str, Any]]:
    """Return a finding's cells on the page."""
    return [
        plain(each.lead),
        cell(each.area, number),
        plain(each.pvalue, f"{each.pvalue:.2g}"),
        plain(f"{each.side} values", style=""),
        cell(each.alarms.recall, percent),
        cell(each.false_alarms, number),
        cell(each.precision, percent),
    ]
