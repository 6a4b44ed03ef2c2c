"""Measure what interventions do to spikes: how many they prevent, and how many they provoke."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hw2exp.diagnostics.paired_tests import Difference, adjusted, paired_pvalues
from hw2exp.diagnostics.shares import proportion, proportions_difference
from hw2exp.diagnostics.statistics import UNKNOWN, Estimate, Floats
from hw2exp.records.arms import Arm
from hw2exp.records.moments import (
    HAPPENS,
    LEAST_NOISE,
    NOTHING,
    PLACEBOS,
    Family,
    MomentKind,
    Outcome,
)
from hw2exp.report.branches import SEED, ArmBranches
from hw2exp.report.comparisons import pvalue_cell
from hw2exp.report.tables import cell, columns, percent, plain, points

if TYPE_CHECKING:
    import polars

OTHER_DATA = "data=1"

MAIN_LEAD = 10
"""The page, the claims and one figure show the lead nearest to this."""


@dataclass(frozen=True)
class Effect:
    """The effect on spikes of an intervention that begins some steps before them.

    Args:
        arm: the arm.
        do: the intervention.
        kind: its family.
        placebo: its placebo.
        lead: the number of steps before.
        runs: number of runs with spikes.
        spikes: number of spikes.
        quiet: number of quiet moments.
        gone: the share of spikes that do not happen.
        prevented: the share of spikes that do not happen, without another spike instead.
        provoked: the share of quiet moments at which a spike happens.
        net_gone: ``gone`` less the same share of the placebo.
        net_prevented: ``prevented`` less the same share of the placebo.
        net_provoked: ``provoked`` less the same share of the placebo.
        effect: ``net_gone`` less ``net_provoked``.
        over_data: ``prevented`` less the same share with other data, which take a run elsewhere;
            unknown if other data were not tried in all runs.
    """

    arm: Arm
    do: str
    kind: str
    placebo: str
    lead: int
    runs: int
    spikes: int
    quiet: int
    gone: Estimate
    prevented: Estimate
    provoked: Estimate
    net_gone: Estimate
    net_prevented: Estimate
    net_provoked: Estimate
    effect: Difference
    over_data: Estimate


def effects(tried: Sequence[ArmBranches]) -> list[Effect]:
    """Return the effect of each intervention from each lead, with p-values corrected for all.

    A p-value comes from turning the signs of the runs' contributions to the effect.

    Args:
        tried: the branches of each arm.
    """
    found = [
        (_effect(each.arm, *key, counts), _contributions(counts))
        for each in tried
        for key, counts in _counted(each.branches)
    ]
    pvalues = paired_pvalues([contributions for _, contributions in found])
    return [
        replace(each, effect=replace(each.effect, pvalue=corrected, pvalue_alone=alone))
        for (each, _), corrected, alone in zip(found, adjusted(pvalues), pvalues, strict=True)
    ]


Counts = Mapping[str, Floats]
"""Counts of each run, ``(R,)`` each; see ``_counted``."""


def _counted(branches: "polars.DataFrame") -> Iterator[tuple[tuple[str, str, str, int], Counts]]:
    """Yield the counts of each intervention, family, placebo and lead."""
    import polars

    seeds = branches.group_by("do").agg(polars.col(SEED).n_unique())
    everywhere = set(seeds.filter(seeds[SEED] == branches[SEED].n_unique())["do"])
    placebos = {
        kind: next((do for do in (own, LEAST_NOISE) if do in everywhere), NOTHING)
        for kind, own in PLACEBOS.items()
    }
    moment = [SEED, "moment", "number", "start", "lead"]
    col, spike = polars.col, polars.col("moment") == MomentKind.SPIKE
    rows = branches.filter(spike | (col("moment") == MomentKind.QUIET)).with_columns(
        placebo=col("kind").replace_strict(placebos, return_dtype=polars.String)
    )
    data = rows.filter(col("do") == OTHER_DATA).select(*moment, outcome_of_data="outcome")
    others = rows.select(*moment, col("do").alias("placebo"), outcome_of_placebo="outcome")
    happens, of_placebo = (col(name).is_in(HAPPENS) for name in ("outcome", "outcome_of_placebo"))
    counts = {
        "spikes": spike,
        "gone": spike & ~happens,
        "prevented": spike & (col("outcome") == Outcome.PREVENTED),
        "placebo_gone": spike & ~of_placebo,
        "data": spike & col("outcome_of_data").is_not_null(),
        "data_prevented": spike & (col("outcome_of_data") == Outcome.PREVENTED),
        "placebo_prevented": spike & (col("outcome_of_placebo") == Outcome.PREVENTED),
        "quiet": ~spike,
        "provoked": ~spike & happens,
        "placebo_provoked": ~spike & of_placebo,
    }
    intervention = ["do", "kind", "placebo", "lead"]
    by_run = (
        rows.filter(col("do") != NOTHING)
        .join(others, on=[*moment, "placebo"])
        .join(data, on=moment, how="left")
        .group_by(*intervention, SEED, maintain_order=True)
        .agg(**{name: each.sum() for name, each in counts.items()})
    )
    for key, frame in by_run.group_by(*intervention, maintain_order=True):
        yield key, {name: frame[name].to_numpy().astype(float) for name in counts}


def _effect(arm: Arm, do: str, kind: str, placebo: str, lead: int, counts: Counts) -> Effect:
    spikes, quiet = counts["spikes"], counts["quiet"]
    gone = counts["gone"], spikes, counts["placebo_gone"]
    prevented = counts["prevented"], spikes, counts["placebo_prevented"]
    provoked = counts["provoked"], quiet, counts["placebo_provoked"]
    effect = proportions_difference(gone, provoked)
    return Effect(
        *(arm, do, kind, placebo, lead),
        runs=int((spikes > 0).sum()),
        spikes=int(spikes.sum()),
        quiet=int(quiet.sum()),
        gone=proportion(*gone[:2]),
        prevented=proportion(*prevented[:2]),
        provoked=proportion(*provoked[:2]),
        net_gone=proportion(*gone),
        net_prevented=proportion(*prevented),
        net_provoked=proportion(*provoked),
        over_data=(
            proportion(*prevented[:2], counts["data_prevented"])
            if (counts["data"] == spikes).all()
            else UNKNOWN
        ),
        effect=Difference(effect.value, effect.low, effect.high, 1.0, 1.0),
    )


def _contributions(counts: Counts) -> Floats:
    """Return the contribution of each run to the effect, ``(R,)``; none if it is unknown."""
    spikes, quiet = counts["spikes"].sum(), counts["quiet"].sum()
    if not spikes or not quiet:
        return np.zeros(0)
    gone = (counts["gone"] - counts["placebo_gone"]) / spikes
    return np.asarray(gone - (counts["provoked"] - counts["placebo_provoked"]) / quiet)


def at_main_lead(found: Sequence[Effect]) -> list[Effect]:
    """Return the effects from the lead nearest to ``MAIN_LEAD``."""
    lead = min((each.lead for each in found), key=lambda lead: abs(lead - MAIN_LEAD), default=0)
    return [each for each in found if each.lead == lead]


SHARES = (
    *("gone", "prevented", "provoked"),
    *("net_gone", "net_prevented", "net_provoked", "effect"),
)


def effect_rows(found: Sequence[Effect]) -> list[dict[str, Any]]:
    """Make a row for each arm, intervention and lead."""
    return [
        {
            "arm": each.arm.name,
            **{name: getattr(each, name) for name in ("do", "kind", "placebo", "lead")},
            **{name: getattr(each, name) for name in ("runs", "spikes", "quiet")},
            **{
                key: value
                for name in SHARES
                for key, value in columns(name, getattr(each, name)).items()
            },
            "p_effect": each.effect.pvalue,
        }
        for each in found
    ]


MAIN = (
    "clip=norm clip.max_norm=1",
    "clip=value clip.max_value=0.1",
    "clip=zclip clip.warmup_steps=2 clip.z_threshold=2.5",
    "lr*0.5",
    "lr*0.1",
    "schedule=cosine",
    "optimizer.alpha=0.9",
    "optimizer.mean_square*0",
    "skip=100",
    OTHER_DATA,
    f"{OTHER_DATA} around=2",
    "params~1e-3",
)
"""The interventions that the page shows, besides the user's own; the tables have all."""


def is_main(do: str, kind: str) -> bool:
    """Return whether the page shows an intervention."""
    return do in MAIN or kind == Family.OWN


def main_effects(found: Sequence[Effect]) -> list[Effect]:
    """Return the effects that the page shows."""
    return [each for each in at_main_lead(found) if is_main(each.do, each.kind)]


def effect_cells(each: Effect) -> list[dict[str, Any]]:
    """Return an effect's cells on the page."""
    placebo = each.gone.value - each.net_gone.value
    return [
        *(plain(count) for count in (each.spikes, each.quiet)),
        *(cell(own, percent) for own in (each.gone, each.prevented)),
        plain(placebo, percent(placebo)),
        cell(each.provoked, percent),
        *(cell(each.effect, points), pvalue_cell(each.effect)),
    ]
