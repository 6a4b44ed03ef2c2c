"""Measure the signals of a run's state that may announce a spike."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hw2exp.diagnostics.explosions import WINDOW
from hw2exp.diagnostics.gradient_flow import growth
from hw2exp.diagnostics.internals import internals
from hw2exp.diagnostics.sharpness import directional_curvature, sharpness
from hw2exp.diagnostics.spikes import deviations_above, running_median
from hw2exp.diagnostics.statistics import Floats
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import advance
from hw2exp.fleet.measurements import StepTrace
from hw2exp.records.signals import SIGNALS

ALLOWANCE = 0.5
"""The allowance of a cumulative sum, in deviations per step: half the shift that it should find."""


@dataclass(frozen=True)
class History:
    """The steps of a run before a state.

    Args:
        losses: the training loss of each step from 1, ``(n,)``.
        grad_norms: the gradient norm before clipping of each step, ``(n,)``.
    """

    losses: Floats
    grad_norms: Floats


def measure(fleet: Fleet, step: int, history: History) -> dict[str, float]:
    """Return each of ``SIGNALS`` before a step, NaN where one doesn't apply.

    The step is made, because some signals need its gradient; then the fleet's state is restored.

    Args:
        fleet: a fleet of one, with the state before the step.
        step: the step.
        history: all steps before it.
    """
    before, seen = fleet.state, _Seen()
    made = advance(fleet, step, step, seen)[0]
    trace = seen.trace
    assert trace.flow is not None
    fleet.state = replace(before, optimizer=trace.after.optimizer)  # by which the step divides
    inside = internals(fleet.model, fleet.params, trace.symbols)
    sharp = sharpness(fleet, trace.symbols, trace.labels, made.lr)
    curvature = directional_curvature(fleet, trace.symbols, trace.labels) / sharp.limit
    fleet.state = before
    window = fleet.config.spikes.window
    deviations = deviations_above(history.losses[-2 * window :], window)[-window:]
    found: dict[str, Any] = {
        "loss": deviations[-1:],
        "loss_cusum": cumulative_sum(deviations[~np.isnan(deviations)])[-1:],
        "last_gradient": _relative(history.grad_norms),
        "gradient": _relative(np.append(history.grad_norms, made.grad_norm_raw)),
        "gradient_growth": growth(trace.flow.cpu().numpy())[0],
        "sharpness": sharp.instability,
        "directional_curvature": curvature,
        "curvature_size": curvature.abs(),
        "attention_entropy": inside.attention_entropy,
        "gate_saturation": inside.gate_saturated,
    }
    known = {name: float(own[0]) for name, own in found.items() if own is not None and len(own)}
    return {name: known.get(name, math.nan) for name in SIGNALS}


def cumulative_sum(deviations: Floats, allowance: float = ALLOWANCE) -> Floats:
    """Return Page's sum after each deviation: S = max(0, S + deviation - allowance), ``(n,)``.

    Args:
        deviations: the deviation of each step, ``(n,)``.
        allowance: the deviation that adds nothing.

    Source: Page 1954, "Continuous inspection schemes".
    """
    sums = np.cumsum(deviations - allowance)
    return np.asarray(sums - np.minimum(np.minimum.accumulate(sums), 0))


def _relative(norms: Floats) -> Floats:
    """Return the last norm relative to the running median by which explosions are found."""
    last, before = norms[-1:, None], norms[-WINDOW - 1 : -1, None]
    return np.asarray(last / running_median(last, WINDOW, before))[:, 0]


class _Seen:
    """An inspector that keeps the last step."""

    trace: StepTrace

    def wants_flow(self, step: int) -> bool:
        return True

    def inspect(self, step: int, trace: StepTrace) -> None:
        self.trace = trace
