"""What the anatomy of a spike says, in sentences whose numbers decide what they say."""

import math

import numpy as np

from hw2exp.anatomy.dissection import Dissection

EXPLODED = 10.0
"""A gradient has exploded that is as many times the median before it: as in ``explosions``."""

SHARED = 0.5
"""The parameters are at fault if other sequences share as much of the spike's height, and one step
is if it alone makes as much of that."""


def sentences(seen: Dissection) -> list[str]:
    """Say what happened.

    Args:
        seen: what led to the spike.
    """
    spike, place = seen.spike, seen.culprit
    lines = [
        f"The loss rises from {spike.median:.3g} to {spike.loss:.3g} at step {spike.step:,}"
        + (", above the loss before training." if spike.above_initial else "."),
    ]
    lines.append(_fault(seen))
    lines.append(_gradient(seen))
    lines.append(
        f"Its update moves the parameters by {seen.updates[place]:.3g}{_median(seen.thrown)}."
    )
    lines.append(_flow(seen))
    lines.append(_curvature(seen))
    lines += _sequences(seen)
    return lines


def _fault(seen: Dissection) -> str:
    """Whether the parameters or the batch are at fault, and which step."""
    place, fresh = seen.culprit, seen.fresh_loss
    lowest, at_peak = fresh[: place + 1].min(), fresh[seen.peak]
    if not at_peak - lowest >= SHARED * (seen.spike.loss - seen.spike.median):
        return (
            "It is a hard batch, the parameters are not at fault: the loss of 1,024 other "
            f"sequences goes from {lowest:.3g} to {at_peak:.3g}."
        )
    before, after = fresh[place], fresh[min(place + 1, len(fresh) - 1)]
    step = f"it takes the loss of 1,024 other sequences from {before:.3g} to {after:.3g}"
    if after - before >= SHARED * (at_peak - lowest):
        return f"Step {seen.steps[place]:,} did it: {step}."
    return (
        f"Several steps did it, step {seen.steps[place]:,} most: {step}; all together it goes from "
        f"{lowest:.3g} to {at_peak:.3g} at the peak."
    )


def _median(times: float) -> str:
    return "" if math.isnan(times) else f", {times:.3g} times the median of the steps before"


def _gradient(seen: Dissection) -> str:
    size, times = seen.raw[seen.culprit], seen.gradient_times
    clipped = seen.clipped[seen.culprit]
    cut = f", clipped to {clipped:.3g}" if clipped < 0.99 * size else ""
    exploded = "has exploded" if times > EXPLODED else "has not exploded"
    peak = ""
    if seen.peak > seen.culprit and seen.raw[seen.peak] > 2 * size:
        peak = f"; {seen.raw[seen.peak]:.3g} at the peak, where the parameters are thrown already"
    return f"Its gradient {exploded}: {size:.3g}{_median(times)}{cut}{peak}."


def _flow(seen: Dissection) -> str:
    flow, factor = seen.flow[seen.culprit], seen.flow_growth[seen.culprit]
    at = int(np.nanargmax(flow)) + 1
    T = len(flow)
    times = flow[at - 1] / flow[-1] if flow[-1] > 0 else math.inf
    way = "where the loss reads it" if at == T else f"{T - at} steps before the end"
    grown = f", {times:.3g} times what it is at the end" if at < T else ""
    exponent = float(seen.jacobians.exponent[seen.culprit])
    return (
        f"‖∂ℓ/∂h[t]‖ is largest at t = {at}, {way}{grown}; the factor a step back is {factor:.3g}, "
        f"the largest Lyapunov exponent {exponent:.3g} a step."
    )


def _curvature(seen: Dissection) -> str:
    ratio = float(seen.sharp.instability[seen.culprit])
    raw = float(seen.sharp.raw.value[seen.culprit])
    verb = "cannot" if ratio > 1 else "can"
    return (
        f"The sharpness of its loss is {raw:.3g}; as the optimizer sees it, {ratio:.3g} times what "
        f"it can stand: a quadratic loss of that curvature it {verb} descend."
    )


def _sequences(seen: Dissection) -> list[str]:
    squares = np.array([each.gradient for each in seen.sequences]) ** 2
    if len(squares) < 2 or not np.isfinite(squares).all() or squares.sum() == 0:
        return []
    share = np.cumsum(squares) / squares.sum()
    count = int(np.searchsorted(share, 0.9)) + 1
    what = "sequence has" if count == 1 else "sequences have"
    return [
        f"{count} of the batch's {len(squares)} {what} nine tenths of the squared gradients, "
        f"the first {share[0]:.0%}."
    ]
