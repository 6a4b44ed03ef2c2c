"""The loss around a step: along it, and on a plane that holds it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hw2exp.anatomy.replay import Replayed
from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.cliff import Cliff, plane_along, slice_loss
from hw2exp.fleet import Fleet

Floats = NDArray[np.float64]

LINE = -1.0, 3.0
POINTS = 61
"""How far along a step the loss is measured, in steps, and at how many points."""

PATH_BEFORE, PATH_AFTER = 6, 4
"""Steps before and after the one that did it, whose way is drawn on the cliff."""


@dataclass(frozen=True)
class Along:
    """The loss on the line on which a step was taken.

    Args:
        share: of the step that is taken: 0 is before it, 1 after it, ``(n,)``.
        own: the loss of the step's own batch, ``(n,)``.
        later: the loss of the peak's batch, ``(n,)``.
    """

    share: Floats
    own: Floats
    later: Floats


def loss_along(config: TrainConfig, seen: Replayed, culprit: int, peak: int) -> Along:
    """Measure the loss before, within and beyond a step, each point a replica.

    Args:
        config: of the run.
        seen: the steps.
        culprit: the place of the step.
        peak: the place of the one whose batch is judged too.
    """
    share = torch.linspace(*LINE, POINTS)
    made = seen.made[culprit]
    step = made.after.params - made.before.params  # (1, P)
    fleet = Fleet([config] * POINTS)
    params = fleet.layout.unflatten(made.before.params + share[:, None] * step)
    losses = []
    for batch in (made, seen.made[peak]):
        symbols, labels = batch.symbols.expand(POINTS, -1, -1), batch.labels.expand(POINTS, -1)
        own, _, _ = fleet.model.losses(params, symbols, labels)
        losses.append(host(own.mean(1)))
    return Along(host(share), *losses)


def cliff_around(
    config: TrainConfig, params: Tensor, seen: Replayed, culprit: int
) -> tuple[Cliff | None, list[int], Floats, Floats]:
    """The loss around the parameters before the culprit's update, and the way of the steps there.

    The plane holds the update itself: the gradient as the optimizer has scaled it, with its
    momentum; plain SGD's is the gradient. Where that is zero or not finite there is none to draw.

    Args:
        config: of the run.
        params: before each of the steps, ``(n, P)``.
        seen: the steps.
        culprit: the place of the step.

    Returns:
        The loss on the plane, or nothing; the places of the steps around; their coordinates on
        the plane ``(k, 2)``, and how far off it they are ``(k,)``.
    """
    made = seen.made[culprit]
    first, last = max(culprit - PATH_BEFORE, 0), min(culprit + PATH_AFTER, len(params) - 1)
    around = list(range(first, last + 1))
    rows = params[first : last + 1]
    try:
        plane = plane_along(
            params[culprit], (made.after.params - made.before.params)[0], config.seed
        )
        grid = plane.grid(rows[: culprit - first + 2])
    except ValueError:
        return None, around, np.zeros((len(rows), 2)), np.zeros(len(rows))
    cliff = slice_loss(config, plane, made.symbols[0], made.labels[0], grid, grid)
    return cliff, around, host(plane.project(rows)), host(plane.distance(rows))


def host(values: Any) -> Floats:
    """A tensor as an array of float64.

    Args:
        values: the tensor.
    """
    return np.asarray(values.double().cpu().numpy())
