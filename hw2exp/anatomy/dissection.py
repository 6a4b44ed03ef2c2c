"""What led to a spike, measured: the steps around it become the replicas of a fleet."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from hw2exp.anatomy.blame import Suspect, find_culprit, suspects_of
from hw2exp.anatomy.replay import Replayed
from hw2exp.anatomy.surroundings import Along, cliff_around, host, loss_along
from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.cliff import Cliff
from hw2exp.diagnostics.gradient_flow import growth
from hw2exp.diagnostics.jacobian import JacobianGrowth, jacobian_growth
from hw2exp.diagnostics.ring import norms_by_tensor
from hw2exp.diagnostics.sharpness import Sharpness, sharpness
from hw2exp.diagnostics.spikes import Spike
from hw2exp.fleet import Fleet
from hw2exp.fleet_run import torch_as_known
from hw2exp.fleet_state import concatenate

Floats = NDArray[np.float64]


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
    with torch_as_known():
        befores = concatenate([made.before for made in seen.made])
        afters = concatenate([made.after for made in seen.made])
        fleet = Fleet([config] * len(seen.steps))
        fleet.state = replace(befores, optimizer=afters.optimizer)  # what each step divided by
        fresh = host(fleet.initial()[0])
        culprit, thrown = find_culprit(fresh, peak, spike, config.spikes.margin)
        symbols, labels = (
            torch.cat([getattr(made, name) for made in seen.made]) for name in ("symbols", "labels")
        )
        measured = {
            name: torch.cat([getattr(each, name) for each in seen.measured])
            for name in ("loss", "grad_norm_raw", "grad_norm_clipped", "update_norm", "lr")
        }
        sharp = sharpness(fleet, symbols, labels, measured["lr"])
        suspects, order = suspects_of(config, seen, culprit)
        at_peak, _ = suspects_of(config, seen, peak)
        first = symbols[culprit][order[0]].expand(len(seen.steps), 1, -1)  # (n, 1, T)
        jacobians = jacobian_growth(fleet.model, fleet.params, befores.buffers, first)
        flow = torch.cat([made.flow for made in seen.made if made.flow is not None]).numpy()
        grads = torch.cat([made.grads for made in seen.made])
        cliff, around, path, off = cliff_around(config, befores.params, seen, culprit)
    return Dissection(
        spike=spike,
        steps=seen.steps,
        loss=host(measured["loss"]),
        fresh_loss=fresh,
        raw=host(measured["grad_norm_raw"]),
        clipped=host(measured["grad_norm_clipped"]),
        updates=host(measured["update_norm"]),
        gradients_by_tensor=norms_by_tensor(fleet.layout, grads),
        flow=flow,
        flow_growth=growth(flow),
        jacobians=jacobians,
        sharp=sharp,
        thrown=thrown,
        culprit=culprit,
        along=loss_along(config, seen, culprit, peak),
        cliff=cliff,
        path=path,
        path_steps=[seen.steps[place] for place in around],
        off=off,
        sequences=suspects,
        at_peak=at_peak,
        diverged_at=diverged_at,
    )
