"""Loss curves of an arm: the median and its band over the seeds, and a few runs alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw2exp.records.metrics import STEP
from hw2exp.records.runs import Arm, Run
from hw2exp.statistics import quartiles

Floats = NDArray[np.float64]

POINTS = 300
"""Of a band; of more logged steps each point covers several."""


@dataclass(frozen=True)
class Band:
    """A metric of all runs of an arm against the training step.

    Args:
        steps: the last step that each point covers, ``(n,)``.
        low: the lower quartile over the runs, ``(n,)``.
        middle: the median, ``(n,)``.
        high: the upper quartile, ``(n,)``.
        runs: each run's own curve, ``(R, n)``; infinite after it diverged.
    """

    steps: Floats
    low: Floats
    middle: Floats
    high: Floats
    runs: Floats


def loss_band(arm: Arm) -> Band:
    """The training loss; of the steps that a point covers, the largest.

    A run that was stopped once solved stays at its last loss; one that diverged is at infinity.

    Args:
        arm: the runs.
    """
    last = max(run.result.step for run in arm.runs.values())
    edges = np.unique(np.linspace(0, last, POINTS + 1).round())[1:]  # (n,)
    curves = np.stack([_sampled(run, edges) for run in arm.runs.values()])  # (R, n)
    low, middle, high = quartiles(curves, axis=0)
    return Band(edges, low, middle, high, curves)


def _sampled(run: Run, edges: Floats) -> Floats:
    """The largest loss up to each edge and after the one before; the last one where none is."""
    metrics = run.metrics()
    steps = metrics[STEP].to_numpy()
    losses = np.nan_to_num(metrics["loss_train_max"].to_numpy().astype(float), nan=np.inf)
    places = np.searchsorted(edges, steps)  # (rows,)
    points = np.full(len(edges), -np.inf)
    np.maximum.at(points, places[places < len(edges)], losses[places < len(edges)])
    if run.result.diverged_at is not None:
        points[np.searchsorted(edges, run.result.diverged_at) :] = np.inf
    return _held(points)


def _held(points: Floats) -> Floats:
    """Where no step was logged, the value before it; before the first, the first; of none, ∞."""
    known = np.flatnonzero(points > -np.inf)
    if not len(known):
        return np.full(len(points), np.inf)
    places = np.searchsorted(known, np.arange(len(points)), side="right") - 1
    return points[known[np.maximum(places, 0)]]


def examples(arm: Arm, count: int) -> Sequence[int]:
    """Places of a few runs to be drawn alone: evenly spread by the number of their spikes.

    Args:
        arm: the runs.
        count: how many.
    """
    by_spikes = np.argsort([len(result.spikes) for result in arm.results], kind="stable")
    picked = np.linspace(0, len(by_spikes) - 1, min(count, len(by_spikes))).round().astype(int)
    return [int(place) for place in by_spikes[picked]]
