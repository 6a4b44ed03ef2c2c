"""Compute an arm's loss curves: the median and quartiles over seeds, and a few single runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw2exp.diagnostics.statistics import quartiles
from hw2exp.records.arms import Arm, Run
from hw2exp.records.step_table import STEP

Floats = NDArray[np.float64]

POINTS = 300
"""Most points of a band; with more steps, each point covers several."""


@dataclass(frozen=True)
class Band:
    """A metric of an arm's R runs against the training step.

    Args:
        steps: the last step that each point covers, ``(n,)``.
        low: the lower quartile over runs, ``(n,)``.
        middle: the median, ``(n,)``.
        high: the upper quartile, ``(n,)``.
        runs: each run's curve, infinite after the run diverged, ``(R, n)``.
    """

    steps: Floats
    low: Floats
    middle: Floats
    high: Floats
    runs: Floats


def loss_band(arm: Arm) -> Band:
    """Return the band of the training loss; each point is the largest loss of its steps.

    A run that was stopped once solved stays at its last loss; a diverged run is at infinity.

    Args:
        arm: the arm.
    """
    last = max(run.result.step for run in arm.runs.values())
    edges = np.unique(np.linspace(0, last, POINTS + 1).round())[1:]  # (n,)
    curves = np.stack([_sampled(run, edges) for run in arm.runs.values()])  # (R, n)
    low, middle, high = quartiles(curves, axis=0)
    return Band(edges, low, middle, high, curves)


def _sampled(run: Run, edges: Floats) -> Floats:
    """Return the largest loss between each edge and the one before; gaps hold the last value."""
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
    """Fill gaps (-∞) with the value before, or else with the first value; with none, return ∞."""
    known = np.flatnonzero(points > -np.inf)
    if not len(known):
        return np.full(len(points), np.inf)
    places = np.searchsorted(known, np.arange(len(points)), side="right") - 1
    return points[known[np.maximum(places, 0)]]


def examples(arm: Arm, count: int) -> Sequence[int]:
    """Pick a few runs to draw alone, evenly spread by their number of spikes.

    Args:
        arm: the arm.
        count: most runs to pick.

    Returns:
        The places of the runs in the arm.
    """
    by_spikes = np.argsort([len(result.spikes) for result in arm.results], kind="stable")
    picked = np.linspace(0, len(by_spikes) - 1, min(count, len(by_spikes))).round().astype(int)
    return [int(place) for place in by_spikes[picked]]
