"""What led to a spike, measured: the steps around it become the replicas of a fleet."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hw2exp.anatomy.replay import Replayed
from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.cliff import Cliff, plane_along, slice_loss
from hw2exp.diagnostics.gradient_flow import growth
from hw2exp.diagnostics.jacobian import JacobianGrowth, jacobian_growth
from hw2exp.diagnostics.ring import norms_by_tensor
from hw2exp.diagnostics.sharpness import Sharpness, sharpness
from hw2exp.diagnostics.spikes import Spike
from hw2exp.fleet import Fleet
from hw2exp.fleet_run import one_thread
from hw2exp.fleet_state import concatenate
from hw2exp.task import decode

Floats = NDArray[np.float64]

LINE = -1.0, 3.0
POINTS = 61
"""How far along a step the loss is measured, in steps, and at how many points."""

PATH_BEFORE, PATH_AFTER = 6, 4
"""Steps before and after the one that did it, whose way is drawn on the cliff."""


@dataclass(frozen=True)
class Suspect:
    """A sequence of the batch, and its part in the gradient.

    Args:
        text: as people read it.
        loss: its loss.
        gradient: the norm of its loss's gradient; NaN under batch normalization.
    """

    text: str
    loss: float
    gradient: float


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


@dataclass(frozen=True)
class Dissection:
    """What led to a spike. n steps were looked into, from some before it to some behind its peak.

    Args:
        spike: the spike.
        steps: the steps, ``(n,)``.
        loss: of each step's own batch, ``(n,)``.
        fresh_loss: of sequences that are the same for all, before each step, ``(n,)``.
        raw: norm of the gradient, ``(n,)``.
        clipped: the same after clipping, ``(n,)``.
        updates: how far each step moved the parameters, ``(n,)``.
        lr: the learning rate, ``(n,)``.
        gradients_by_tensor: norms before clipping, by parameter, each ``(n,)``.
        flow: ‖∂ℓ/∂h[t]‖, ``(n, T)``.
        flow_growth: its factor a time step back by a fitted line, and the R², each ``(n,)``.
        jacobians: along the first of ``sequences``, of all steps.
        sharp: the sharpness on each step's own batch.
        thrown: the parameters are at fault: at the peak other sequences have a high loss too.
        culprit: the place among the steps of the one whose update did it; of the step before the
            peak where the parameters are not at fault.
        along: the loss on the straight line through the parameters before and after its update.
        cliff: the loss around the parameters before it, on its own batch, in the plane of its
            update and of a random direction.
        path: coordinates on the cliff of the parameters before some steps around it, ``(k, 2)``.
        path_steps: these steps, ``(k,)``.
        off: how far each of them lies off the cliff's plane, ``(k,)``.
        sequences: of the culprit's batch, those with the largest gradients first; with the
            largest losses where batch normalization gives no sequence a gradient of its own.
        at_peak: those of the batch at the peak, likewise.
        diverged_at: the step at which the run diverged, if it did.
    """

    spike: Spike
    steps: list[int]
    loss: Floats
    fresh_loss: Floats
    raw: Floats
    clipped: Floats
    updates: Floats
    lr: Floats
    gradients_by_tensor: dict[str, Floats]
    flow: Floats
    flow_growth: tuple[Floats, Floats]
    jacobians: JacobianGrowth
    sharp: Sharpness
    thrown: bool
    culprit: int
    along: Along
    cliff: Cliff | None
    path: Floats
    path_steps: list[int]
    off: Floats
    sequences: list[Suspect]
    at_peak: list[Suspect]
    diverged_at: int | None = None

    @property
    def peak(self) -> int:
        """The place of the peak among the steps."""
        return self.steps.index(self.spike.step)

    @property
    def update_times(self) -> float:
        """How many times farther than the median step before it the culprit moved."""
        return _times(self.updates, self.culprit)

    @property
    def gradient_times(self) -> float:
        """How many times the median gradient before it the culprit's was."""
        return _times(self.raw, self.culprit)


def _times(values: Floats, place: int) -> float:
    before = values[:place]
    usual = float(np.median(before)) if len(before) else 0.0
    return float(values[place]) / usual if 0 < usual < np.inf else float("nan")


def dissect(
    config: TrainConfig, spike: Spike, seen: Replayed, diverged_at: int | None = None
) -> Dissection:
    """Look into the steps that led to a spike.

    Args:
        config: of the run.
        spike: the spike.
        seen: the steps around it, made again.
        diverged_at: the step at which the run diverged, if it did.
    """
    peak = seen.steps.index(spike.step)
    with one_thread():
        befores = concatenate([made.before for made in seen.made])
        afters = concatenate([made.after for made in seen.made])
        fleet = Fleet([config] * len(seen.steps))
        fleet.state = replace(befores, optimizer=afters.optimizer)  # what each step divided by
        fresh = _host(fleet.initial()[0])
        culprit, thrown = find_culprit(fresh, peak, spike.median, config.spikes.margin)
        symbols, labels = (
            torch.cat([getattr(made, name) for made in seen.made]) for name in ("symbols", "labels")
        )
        measured = {
            name: torch.cat([getattr(each, name) for each in seen.measured])
            for name in ("loss", "grad_norm_raw", "grad_norm_clipped", "update_norm", "lr")
        }
        sharp = sharpness(fleet, symbols, labels, measured["lr"])
        suspects, order = _suspects(config, seen, culprit)
        at_peak, _ = _suspects(config, seen, peak)
        first = symbols[culprit][order[0]].expand(len(seen.steps), 1, -1)  # (n, 1, T)
        jacobians = jacobian_growth(fleet.model, fleet.params, befores.buffers, first)
        flow = torch.cat([made.flow for made in seen.made if made.flow is not None]).numpy()
        grads = torch.cat([made.grads for made in seen.made])
        cliff, around, path, off = _cliff(config, befores.params, seen, culprit)
    return Dissection(
        spike=spike,
        steps=seen.steps,
        loss=_host(measured["loss"]),
        fresh_loss=fresh,
        raw=_host(measured["grad_norm_raw"]),
        clipped=_host(measured["grad_norm_clipped"]),
        updates=_host(measured["update_norm"]),
        lr=_host(measured["lr"]),
        gradients_by_tensor=norms_by_tensor(fleet.layout, grads),
        flow=flow,
        flow_growth=growth(flow),
        jacobians=jacobians,
        sharp=sharp,
        thrown=thrown,
        culprit=culprit,
        along=_along(config, seen, culprit, peak),
        cliff=cliff,
        path=path,
        path_steps=[seen.steps[place] for place in around],
        off=off,
        sequences=suspects,
        at_peak=at_peak,
        diverged_at=diverged_at,
    )


def find_culprit(fresh: Floats, peak: int, median: float, margin: float) -> tuple[int, bool]:
    """The step whose update raised the loss, and whether any did.

    The parameters are at fault if at the peak the loss of other sequences exceeds the baseline by
    as much as makes a spike. The culprit is then the last step before the peak that took that loss
    across the middle between baseline and peak: an earlier rise that was over is no part of this.

    Args:
        fresh: the loss of other sequences before each step, ``(n,)``.
        peak: the peak's place among the steps.
        median: the baseline.
        margin: least height of a spike.

    Returns:
        The place of the culprit, or of the step before the peak, and whether it is one.
    """
    high = fresh[peak]
    if high - median < margin:  # false for what is not finite: it is high
        return max(peak - 1, 0), False
    middle = (median + high) / 2 if np.isfinite(high) else np.inf
    below = np.flatnonzero(fresh[:peak] < middle)
    return (int(below[-1]) if len(below) else 0), True


def _suspects(config: TrainConfig, seen: Replayed, place: int) -> tuple[list[Suspect], list[int]]:
    """The sequences of a step's batch, each as a batch of its own, and their order."""
    made = seen.made[place]
    symbols, labels = made.symbols[0], made.labels[0]  # (B, T), (B,)
    singles = Fleet([config] * len(labels))
    params = singles.layout.unflatten(made.before.params.expand(len(labels), -1))
    if config.norm.name == "batch":  # a sequence alone has no deviation
        together = {name: value[:1] for name, value in params.items()}
        buffers = made.before.buffers
        alone = Fleet([config]).model
        losses = alone.losses(together, buffers, made.symbols, made.labels, training=True)[0][0]
        norms = torch.full_like(losses, torch.nan)
        key = losses
    else:
        buffers = {
            name: value.expand(len(labels), *value.shape[1:])
            for name, value in made.before.buffers.items()
        }
        back = singles.model.gradient(params, buffers, symbols[:, None], labels[:, None])
        rows = singles.layout.flatten(list(back.of.values()))
        losses, norms = back.loss, torch.linalg.vector_norm(rows.double(), dim=1)
        key = norms
    order = key.nan_to_num(torch.inf).argsort(descending=True, stable=True).tolist()
    texts = [decode(symbols[row].tolist(), int(labels[row])) for row in order]
    each = zip(texts, losses[order].tolist(), norms[order].tolist(), strict=True)
    return [Suspect(*own) for own in each], order


def _along(config: TrainConfig, seen: Replayed, culprit: int, peak: int) -> Along:
    """Before, within and beyond a step, each point a replica."""
    share = torch.linspace(*LINE, POINTS)
    made = seen.made[culprit]
    step = made.after.params - made.before.params  # (1, P)
    fleet = Fleet([config] * POINTS)
    params = fleet.layout.unflatten(made.before.params + share[:, None] * step)
    losses = []
    for batch in (made, seen.made[peak]):
        symbols, labels = batch.symbols.expand(POINTS, -1, -1), batch.labels.expand(POINTS, -1)
        buffers = fleet.state.buffers
        own, _, _ = fleet.model.losses(params, buffers, symbols, labels, training=True)
        losses.append(_host(own.mean(1)))
    return Along(_host(share), *losses)


def _cliff(
    config: TrainConfig, params: Tensor, seen: Replayed, culprit: int
) -> tuple[Cliff | None, list[int], Floats, Floats]:
    """The loss around the parameters before the culprit's update, and the way of the steps there.

    The plane holds the update itself: the gradient as the optimizer has scaled it, with its
    momentum; plain SGD's is the gradient. Where that is zero or not finite there is none to draw.
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
    return cliff, around, _host(plane.project(rows)), _host(plane.distance(rows))


def _host(values: Any) -> Floats:
    return np.asarray(values.double().cpu().numpy())
