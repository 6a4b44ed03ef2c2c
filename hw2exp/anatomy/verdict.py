"""Write the findings of an anatomy as sentences, chosen by the numbers."""

import numpy as np

from hw2exp.anatomy.blame import HALF, rise_of
from hw2exp.anatomy.dissection import Dissection
from hw2exp.diagnostics.explosions import FACTOR
from hw2exp.system.problems import counted

SLIGHT = 0.1
"""A share of the rise too small to mention."""

FITS = 0.5
"""The least R² at which a fitted line describes the growth of the gradient."""


def sentences(seen: Dissection) -> list[str]:
    """Write each finding as a sentence or two."""
    spike = seen.spike
    known = spike.above_initial and np.isfinite(spike.loss)
    above = ", above the loss before training" if known else ""
    moves = "rises" if spike.loss > spike.median else "goes"
    high = _loss(spike.loss)
    rise = f"The loss {moves} from {_loss(spike.median)} to {high} at step {spike.step:,}{above}."
    if seen.diverged_at:
        rise += f" The run diverges at step {seen.diverged_at:,}."
    lines = [rise, _fault(seen), _gradient(seen)]
    if np.isfinite(seen.updates[seen.culprit]):
        moved = f"{seen.updates[seen.culprit]:.3g}{_median(seen.update_times)}"
        lines.append(f"The update of step {_step(seen)} moves the parameters by {moved}.")
    return [*lines, *_flow(seen), *_curvature(seen), *_sequences(seen)]


def _step(seen: Dissection) -> str:
    return f"{seen.steps[seen.culprit]:,}"


def _fault(seen: Dissection) -> str:
    """State whether the parameters or the batch are at fault, and name the step."""
    place, fresh, baseline = seen.culprit, seen.fresh_loss, seen.spike.median
    high = fresh[seen.peak]
    others = "the loss of other sequences"
    if not seen.thrown:
        finite = np.isfinite(seen.spike.loss)
        if finite and seen.spike.step == seen.diverged_at:
            return (
                f"What is not finite there is the gradient or the step: {others} is {_loss(high)}."
            )
        share = (high - baseline) / (seen.spike.loss - baseline) if finite else 0.0
        if share < SLIGHT:
            at_fault = "the parameters are not at fault"
            return f"It is a hard batch, {at_fault}: {others} is {high:.3g} there."
        risen = f"{others} goes from {baseline:.3g} to {high:.3g}, {share:.0%} of the rise"
        return f"It is a hard batch for the most part: {risen}."
    before, after = fresh[place], fresh[seen.after]
    hard = ""
    if seen.spike.loss > 2 * high:
        hard = f" The peak's batch is a hard one besides: its loss is {seen.spike.loss:.3g}."
    if seen.at_once:
        then = "" if high < 2 * after or place + 1 >= seen.peak else f", then {_loss(high)}"
        taken = f"from {before:.3g} to {_loss(after)}"
        return f"Step {_step(seen)} did it: it takes {others} {taken}{then}.{hard}"
    return (
        f"Several steps did it: {others} goes from {baseline:.3g} to {_loss(high)} at the peak, "
        f"and crosses {baseline + HALF * rise_of(high, baseline):.3g} at step {_step(seen)}.{hard}"
    )


def _loss(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "no finite number"


def _median(times: float) -> str:
    return "" if np.isnan(times) else f", {times:.3g} times the median of the steps before"


def _gradient(seen: Dissection) -> str:
    size, times = seen.raw[seen.culprit], seen.gradient_times
    clipped = seen.clipped[seen.culprit]
    cut = f", clipped to {clipped:.3g}" if clipped < 0.99 * size else ""
    exploded = "has exploded" if times > FACTOR or not np.isfinite(size) else "has not exploded"
    peak = ""
    if seen.peak > seen.culprit and seen.raw[seen.peak] > 2 * size:
        after = ", where the parameters are thrown already" if seen.thrown else ""
        peak = f"; at the peak it is {seen.raw[seen.peak]:.3g}{after}"
    return f"The gradient of step {_step(seen)} {exploded}: {size:.3g}{_median(times)}{cut}{peak}."


def _flow(seen: Dissection) -> list[str]:
    """State where the gradient is largest on its way back; empty if no gradient flows."""
    flow = seen.flow[seen.culprit]
    factor, fit = (float(each[seen.culprit]) for each in seen.flow_growth)
    if not (np.isfinite(flow).all() and flow[-1] > 0):
        return []
    at, T = int(np.argmax(flow)) + 1, len(flow)
    if at == T:
        way = f"at the end, t = {T}, where the readout feeds it in"
    else:
        times = flow[at - 1] / flow[-1]
        before = counted(T - at, "step")
        way = f"at t = {at}, {before} before the end, {times:.3g} times what it is there"
    line = f"At step {_step(seen)}, on the way back, ‖∂ℓ/∂h[t]‖ is largest {way}"
    if fit >= FITS:
        line += f"; a fitted line (R² {fit:.2f}) has a factor of {factor:.3g} a step back"
    jacobians = seen.jacobians
    exponent, spread = (float(x[seen.culprit]) for x in (jacobians.exponent, jacobians.spread))
    if np.isfinite(exponent):
        line += f"; the largest Lyapunov exponent is {exponent_in_words(exponent, spread)} a step"
    return [f"{line}."]


def exponent_in_words(exponent: float, spread: float) -> str:
    """Write a Lyapunov exponent with its spread, and whether its sign is uncertain.

    Args:
        exponent: the mean over several initial directions.
        spread: the largest deviation of one direction from the mean.
    """
    text = f"{exponent:.3g} ± {spread:.2g}"
    return text if abs(exponent) > spread else f"{text} (of either sign)"


def _curvature(seen: Dissection) -> list[str]:
    """State the sharpness at the culprit, and the largest before it if that is much larger."""
    ratios = seen.sharp.instability.numpy()[: seen.culprit + 1]
    ratio, raw = float(ratios[-1]), float(seen.sharp.raw.value[seen.culprit])
    if not np.isfinite(ratio):
        return []
    line = (
        f"The sharpness at step {_step(seen)} is {raw:.3g}; as the optimizer sees it, "
        f"{ratio:.3g} times what it can stand on a quadratic loss"
    )
    largest = int(np.nanargmax(ratios))
    if ratios[largest] > 2 * ratio:
        line += f"; up to {ratios[largest]:.3g} times before, at step {seen.steps[largest]:,}"
    return [f"{line}."]


def _sequences(seen: Dissection) -> list[str]:
    squares = np.array([each.gradient for each in seen.sequences]) ** 2
    if len(squares) < 2 or not np.isfinite(squares).all() or squares.sum() == 0:
        return []
    share = np.cumsum(squares) / squares.sum()
    count = int(np.searchsorted(share, 0.9)) + 1
    have = "has" if count == 1 else "have"
    return [
        f"Of the {len(squares)} sequences of its batch {count} {have} nine tenths of the sum of "
        f"squared gradients, the one with the largest {share[0]:.0%}."
    ]
