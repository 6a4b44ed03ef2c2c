"""The kernel of compiled steps: draw, run forward and backward, clip, update, and check."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from hw2exp.optim.compiled import CLIP_STATES, NO_CLIP, STATES, clip_row, update_row
from hw2exp.system.kernel_cache import kernel, kernel_with
from hw2exp.tasks.task import TRAIN
from hw2exp.tasks.temporal_order import draw


@kernel
def norm_of(row: Any) -> Any:
    """Return the Euclidean norm of a row, in float64, summed in order."""
    total = 0.0
    for i in range(len(row)):
        total += np.float64(row[i]) ** 2
    return math.sqrt(total)


@kernel
def finite(values: Any) -> Any:
    """Return whether all numbers are finite."""
    for value in values.flat:  # noqa: SIM110  # numba has no all()
        if not math.isfinite(value):
            return False
    return True


@kernel
def propose(r: Any, g: Any, rate: Any, state: Any, rules: Any, after: Any, measured: Any) -> Any:
    """Clip, and compute the update of a replica; return whether its numbers are finite.

    Args:
        r: the index of the replica.
        g: its gradient, ``(P,)``.
        rate: its learning rate.
        state: see ``take_steps``.
        rules: see ``take_steps``.
        after: output: parameters and optimizer's state ``(1 + STATES, P)``, clipping's state
            ``(CLIP_STATES,)``.
        measured: output: the gradient's norm, its norm after clipping and the update's norm.
    """
    rows, updates, seen = state
    (clip, clip_knobs), (optimizer, knobs) = rules
    row, clipped, norm = rows[0, r], np.empty_like(g), norm_of(g)
    clip_row(clip, g, norm, clip_knobs[r], seen[r], after[1], clipped)
    measured[0], measured[1] = norm, norm_of(clipped) if clip != NO_CLIP else norm
    update_row(optimizer, row, clipped, rate, knobs[r], updates[r] + 1, rows[1:, r], after[0])
    measured[2] = norm_of(after[0][0] - row)
    return math.isfinite(norm) and finite(after[0]) and finite(after[1])


learn: Any = None  # bound to the cell's pass in each copy of the steps


def take_steps(
    first: Any, task: Any, batch: Any, memory: Any, state: Any, rates: Any, rules: Any,
    metrics: Any, last: Any, sound: Any,
) -> Any:  # fmt: skip
    """Make steps until the last, or until a replica's numbers are not finite; return their count.

    Args:
        first: the number of the first step.
        task: one seed a replica ``(R,)``, half-open ranges of the task, whether sequences are
            framed, and given symbols ``(n, R, B, T)`` and labels ``(n, R, B)`` of the steps; if
            their length is 0, batches are drawn from the task.
        batch: memory for symbols ``(R, B, T)`` and labels ``(R, B)``.
        memory: working memory of the pass, see :func:`hw2exp.kernels.passes.learn`.
        state: parameters and optimizer's state ``(1 + STATES, R, P)``, number of updates ``(R,)``,
            clipping's state ``(R, CLIP_STATES)``; updated, except for a replica that is not finite.
        rates: learning rates, ``(n, R)``.
        rules: number and knobs ``(R, ·)`` of the clipping, then of the optimizer.
        metrics: output: loss ``(n, R)`` in the parameters' dtype; accuracy, the gradient's norm,
            its norm after clipping and the update's norm, ``(4, n, R)``.
        last: output: the last step's gradient before clipping ``(R, P)``, and ‖∂ℓ/∂h[t]‖²
            ``(R, T)`` or an array of length 0.
        sound: output: whether a replica is still finite, ``(R,)``.
    """
    seeds, ranges, framed, given = task
    symbols, labels = batch
    rows, updates, seen = state
    loss, others = metrics
    raw, flow = last
    R, B, _ = symbols.shape
    P, dtype = raw.shape[1], raw.dtype
    losses, correct = np.empty((R, B), dtype), np.empty((R, B), np.bool_)
    path = np.empty((0, 2, 0, 0, 0), dtype)
    after = np.zeros((1 + STATES, P), dtype), np.empty(CLIP_STATES)
    sound[:] = True
    for k in range(len(rates)):
        if len(given[0]):
            symbols[:], labels[:] = given[0][k], given[1][k]
        else:
            draw(seeds, np.uint64(first + k), np.uint64(TRAIN), ranges, framed, symbols, labels)
        learn(rows[0], symbols, labels, memory, (losses, correct), loss[k], raw, path, flow)
        for r in range(R):
            others[0, k, r] = np.count_nonzero(correct[r]) / B
            measured = others[1:, k, r]
            moved = propose(r, raw[r], rates[k, r], state, rules, after, measured)
            sound[r] = moved and math.isfinite(loss[k, r])
            if sound[r]:
                rows[:, r], seen[r] = after
                updates[r] += 1
        if not sound.all():
            return k + 1
    return len(rates)


@cache
def steps_with(learn: Callable[..., None]) -> Any:
    """Return ``take_steps`` with a cell's pass; one copy a process, as it loads slowly.

    Args:
        learn: the pass, see :func:`hw2exp.kernels.passes.learn`.
    """
    return kernel_with(take_steps, learn.__name__, learn=learn)
