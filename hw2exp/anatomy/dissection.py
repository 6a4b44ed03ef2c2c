"""Measure the steps around a spike: each step becomes a replica of a fleet."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from hw2exp.anatomy.blame import HALF, Suspect, find_culprit, rise_of, suspects_of
from hw2exp.anatomy.replay import Replayed
from hw2exp.anatomy.surroundings import Along, cliff_around, host, loss_along
from hw2exp.config.schema import TrainConfig
from hw2exp.diagnostics.cliff import Cliff
from hw2exp.diagnostics.gradient_flow import growth
from hw2exp.diagnostics.jacobian import JacobianGrowth, jacobian_growth
from hw2exp.diagnostics.sharpness import Sharpness, sharpness
from hw2exp.diagnostics.statistics import Floats
from hw2exp.diagnostics.step_buffer import norms_by_tensor
from hw2exp.fleet.evaluation import evaluate_initial, population_statistics
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.state import concatenate
from hw2exp.fleet.torch_state import torch_as_known
from hw2exp.records.spike import Spike


@dataclass(frozen=True)
class Dissection:
    """The measurements of n steps, from some before a spike to some after its peak.

    Args:
        spike: the spike.
        steps: the steps, ``(n,)``.
        loss: the loss of each step's own batch, ``(n,)``.
        fresh_loss: the loss of one fixed set of sequences before each step, ``(n,)``.
        raw: the norm of the gradient, ``(n,)``.
        clipped: the norm of the gradient after clipping, ``(n,)``.
        updates: the norm of each step's update, ``(n,)``.
        gradients_by_tensor: gradient norms before clipping, by parameter, each ``(n,)``.
        flow: ‖∂ℓ/∂h[t]‖, ``(n, T)``.
        flow_growth: the flow's factor per time step back by a fitted line, and its R², each
            ``(n,)``.
        jacobians: the growth of Jacobians at every step, along the first of ``sequences``.
        sharp: the sharpness on each step's own batch.
        thrown: whether the parameters are at fault: at the peak other sequences have a high loss
            too.
        culprit: the index in ``steps`` of the step whose update caused the spike, or of the step
            before the peak if the parameters are not at fault.
        along: the loss on the straight line through the parameters before and after the culprit's
            update.
        cliff: the loss around the parameters before the culprit's update, on the culprit's batch,
            in the plane of the update and a random direction; None if there is no such plane.
        path: the parameters before some steps around the culprit, as coordinates on the cliff's
            plane, ``(k, 2)``.
        path_steps: these steps, ``(k,)``.
        off: the distance of these parameters from the cliff's plane, ``(k,)``.
        sequences: the sequences of the culprit's batch by falling gradient norm; by falling loss
            under batch normalization, where a sequence has no gradient of its own.
        at_peak: the sequences of the batch at the peak, in the same order.
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
        """Return the index of the peak among the steps."""
        return self.steps.index(self.spike.step)

    @property
    def after(self) -> int:
        """Return the index of the step after the culprit, or of the last one."""
        return min(self.culprit + 1, len(self.steps) - 1)

    @property
    def at_once(self) -> bool:
        """Return whether the culprit's update alone made half of the others' rise or more."""
        baseline = self.spike.median
        before, after, high = (
            rise_of(float(self.fresh_loss[place]), baseline)
            for place in (self.culprit, self.after, self.peak)
        )
        return after - before >= HALF * high

    @property
    def update_times(self) -> float:
        """Return the culprit's update norm relative to the median of the steps before it."""
        return _times(self.updates, self.culprit)

    @property
    def gradient_times(self) -> float:
        """Return the culprit's gradient norm relative to the median of the steps before it."""
        return _times(self.raw, self.culprit)


def _times(values: Floats, place: int) -> float:
    before = values[:place]
    usual = float(np.median(before)) if len(before) else 0.0
    return float(values[place]) / usual if 0 < usual < np.inf else float("nan")


def dissect(
    config: TrainConfig, spike: Spike, seen: Replayed, diverged_at: int | None = None
) -> Dissection:
    """Measure the steps around a spike.

    Args:
        config: the run's config.
        spike: the spike.
        seen: the replayed steps.
        diverged_at: the step at which the run diverged, if it did.
    """
    peak = seen.steps.index(spike.step)
    with torch_as_known():
        befores = concatenate([trace.before for trace in seen.traces])
        afters = concatenate([trace.after for trace in seen.traces])
        fleet = Fleet([config] * len(seen.steps))
        fleet.state = replace(befores, optimizer=afters.optimizer)  # by which each step divided
        fresh = host(evaluate_initial(fleet)[0])
        culprit, thrown = find_culprit(fresh, peak, spike, config.spikes.margin)
        symbols, labels = (
            torch.cat([getattr(trace, name) for trace in seen.traces])
            for name in ("symbols", "labels")
        )
        metrics = {
            name: torch.cat([getattr(each, name) for each in seen.metrics])
            for name in ("loss", "grad_norm_raw", "grad_norm_clipped", "update_norm", "lr")
        }
        sharp = sharpness(fleet, symbols, labels, metrics["lr"])
        suspects, order = suspects_of(config, seen, culprit)
        at_peak, _ = suspects_of(config, seen, peak)
        first = symbols[culprit][order[0]].expand(len(seen.steps), 1, -1)  # (n, 1, T)
        statistics = population_statistics(fleet, seen.steps[culprit])
        jacobians = jacobian_growth(fleet.model, fleet.params, first, statistics)
        flow = torch.cat([trace.flow for trace in seen.traces if trace.flow is not None]).numpy()
        grads = torch.cat([trace.grads for trace in seen.traces])
        cliff, around, path, off = cliff_around(config, befores.params, seen, culprit)
    return Dissection(
        spike=spike,
        steps=seen.steps,
        loss=host(metrics["loss"]),
        fresh_loss=fresh,
        raw=host(metrics["grad_norm_raw"]),
        clipped=host(metrics["grad_norm_clipped"]),
        updates=host(metrics["update_norm"]),
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
