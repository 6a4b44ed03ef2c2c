"""Measure the loss around a step: along the step, and on a plane through it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hw2exp.anatomy.replay import Replayed
from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.cliff import Cliff, plane_along, slice_loss
from hw2exp.diagnostics.statistics import Floats
from hw2exp.fleet.fleet import Fleet

LINE = -1.0, 3.0
POINTS = 61
"""The ends of the line on which the loss is measured, in steps, and its number of points."""

PATH_BEFORE, PATH_AFTER = 6, 4
"""The numbers of steps before and after the culprit whose path is drawn on the cliff."""


@dataclass(frozen=True)
class Along:
    """The loss on the line through the parameters before and after a step.

    Args:
        share: the share of the step: 0 before it, 1 after it, ``(n,)``.
        own: the loss of the step's own batch, ``(n,)``.
        later: the loss of the peak's batch, ``(n,)``.
    """

    share: Floats
    own: Floats
    later: Floats


def loss_along(config: TrainConfig, seen: Replayed, culprit: int, peak: int) -> Along:
    """Measure the loss of a step's and the peak's batch before, within and beyond the step.

    Args:
        config: the run's config.
        seen: the replayed steps.
        culprit: the index of the step among them.
        peak: the index of the peak among them.
    """
    share = torch.linspace(*LINE, POINTS)
    trace = seen.traces[culprit]
    step = trace.after.params - trace.before.params  # (1, P)
    fleet = Fleet([config] * POINTS)
    params = fleet.layout.unflatten(trace.before.params + share[:, None] * step)
    losses = []
    for batch in (trace, seen.traces[peak]):
        symbols, labels = batch.symbols.expand(POINTS, -1, -1), batch.labels.expand(POINTS, -1)
        own, _, _ = fleet.model.losses(params, symbols, labels)
        losses.append(host(own.mean(1)))
    return Along(host(share), *losses)


def cliff_around(
    config: TrainConfig, params: Tensor, seen: Replayed, culprit: int
) -> tuple[Cliff | None, list[int], Floats, Floats]:
    """Measure the loss around the parameters before the culprit's update, and the path nearby.

    The plane contains the update itself: the gradient as scaled by the optimizer, with momentum;
    for plain SGD, the gradient. There is no plane if the update is zero or not finite.

    Args:
        config: the run's config.
        params: the parameters before each step, ``(n, P)``.
        seen: the replayed steps.
        culprit: the index of the culprit among them.

    Returns:
        The loss on the plane, or None; the indices of the steps around; their coordinates on the
        plane ``(k, 2)``; and their distances from it ``(k,)``.
    """
    trace = seen.traces[culprit]
    first, last = max(culprit - PATH_BEFORE, 0), min(culprit + PATH_AFTER, len(params) - 1)
    around = list(range(first, last + 1))
    rows = params[first : last + 1]
    try:
        plane = plane_along(
            params[culprit], (trace.after.params - trace.before.params)[0], config.seed
        )
        grid = plane.grid(rows[: culprit - first + 2])
    except ValueError:
        return None, around, np.zeros((len(rows), 2)), np.zeros(len(rows))
    cliff = slice_loss(config, plane, trace.symbols[0], trace.labels[0], grid, grid)
    return cliff, around, host(plane.project(rows)), host(plane.distance(rows))


def host(values: Any) -> Floats:
    """Convert a tensor to an array of float64."""
    return np.asarray(values.double().cpu().numpy())
