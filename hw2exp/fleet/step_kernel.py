"""The kernel of compiled steps: draw, run forward and backward, clip, update, and check."""

import math
from functools import cache
from typing import Any

import numpy as np

from hw2exp.kernels.forms import ClosedForm
from hw2exp.kernels.passes import make_passes
from hw2exp.optim.compiled import STATES, clip_row, update_row
from hw2exp.system.kernel_cache import kernel, kernel_with
from hw2exp.tasks.temporal_order import TRAIN, draw


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


forward_backward: Any = None  # bound to the cell's kernels in each copy of the steps
pack: Any = None
unpack: Any = None


def take_steps(
    first: Any,
    seeds: Any,
    task: Any,
    given: Any,
    batch: Any,
    cell: Any,
    state: Any,
    rates: Any,
    clip: Any,
    optimizer: Any,
    raw: Any,
    flow: Any,
    metrics: Any,
    sound: Any,
) -> Any:
    """Make steps until the last, or until a replica's numbers are not finite; return their count.

    Args:
        first: the number of the first step.
        seeds: one seed a replica, ``(R,)``.
        task: half-open ranges of the task, and whether sequences are framed.
        given: symbols ``(n, R, B, T)`` and labels ``(n, R, B)`` of the steps; if their length is 0,
            batches are drawn from the task.
        batch: memory for symbols ``(R, B, T)`` and labels ``(R, B)``.
        cell: weights, readout, working memory and gradients, see ``forward_backward``.
        state: parameters and optimizer's state ``(1 + STATES, R, P)``, number of updates ``(R,)``,
            clipping's state ``(R, 3)``; updated, except for a replica that is not finite.
        rates: learning rates, ``(n, R)``.
        clip: the clipping's number, and its knobs ``(R, 3)``.
        optimizer: the optimizer's number, and its knobs ``(R, 5)``.
        raw: output: the last step's gradient before clipping, ``(R, P)``.
        flow: output: the last step's ‖∂ℓ/∂h[t]‖², ``(R, T)``, or an array of length 0.
        metrics: output: loss ``(n, R)`` in the parameters' dtype; accuracy, the gradient's norm,
            its norm after clipping and the update's norm, ``(4, n, R)``.
        sound: output: whether a replica is still finite, ``(R,)``.
    """
    symbols, labels = batch
    weights, W, b, work, way_back, gradients, dW, db, path = cell
    rows, updates, seen = state
    loss, others = metrics
    R, B, _ = symbols.shape
    P = raw.shape[1]
    of_cell = P - W[0].size - b[0].size
    losses, correct = np.empty((R, B), raw.dtype), np.empty((R, B), np.bool_)
    clipped, after = np.empty(P, raw.dtype), np.zeros((1 + STATES, P), raw.dtype)
    seen_after = np.empty(3)
    sound[:] = True
    for k in range(len(rates)):
        if len(given[0]):
            symbols[:], labels[:] = given[0][k], given[1][k]
        else:
            draw(seeds, np.uint64(first + k), np.uint64(TRAIN), task[0], task[1], symbols, labels)
        for r in range(R):
            row = rows[0, r]
            pack(row[:of_cell], r, weights)
            W[r] = row[of_cell : of_cell + W[r].size].reshape(W[r].shape)
            b[r] = row[of_cell + W[r].size :]
        for gradient in gradients:
            gradient[:] = 0
        dW[:] = 0
        db[:] = 0
        flow[:] = 0
        forward_backward(
            symbols,
            labels,
            weights,
            W,
            b,
            work,
            (losses, correct),
            way_back,
            gradients,
            (dW, db),
            path,
            flow,
        )
        for r in range(R):
            g, row = raw[r], rows[0, r]
            unpack(row[:of_cell], r, gradients, g[:of_cell])
            g[of_cell : of_cell + dW[r].size] = dW[r].reshape(dW[r].size)
            g[of_cell + dW[r].size :] = db[r]
            norm = norm_of(g)
            clip_row(clip[0], g, norm, clip[1][r], seen[r], seen_after, clipped)
            clipped_norm = norm_of(clipped) if clip[0] else norm
            update_row(
                optimizer[0],
                row,
                clipped,
                rates[k, r],
                optimizer[1][r],
                updates[r] + 1,
                rows[1:, r],
                after,
            )
            total, right = 0.0, 0
            for i in range(B):
                total += losses[r, i]
                right += correct[r, i]
            loss[k, r] = total / B
            others[0, k, r], others[1, k, r], others[2, k, r] = right / B, norm, clipped_norm
            change = 0.0
            for i in range(P):
                change += np.float64(after[0, i] - row[i]) ** 2
            others[3, k, r] = math.sqrt(change)
            sound[r] = (
                math.isfinite(loss[k, r])
                and math.isfinite(norm)
                and finite(after)
                and finite(seen_after)
            )
            if sound[r]:
                rows[:, r] = after
                updates[r] += 1
                seen[r] = seen_after
        if not sound.all():
            return k + 1
    return len(rates)


@cache
def steps_with(form: ClosedForm) -> Any:
    """Return ``take_steps`` with the kernels of a cell; one copy a process, as it loads slowly.

    Args:
        form: the closed form of the cell.
    """
    _, own_pass = make_passes(form.forward, form.backward)
    name = f"{form.forward.__module__}_{form.forward.__name__}"
    own = {"forward_backward": own_pass, "pack": form.pack, "unpack": form.unpack}
    return kernel_with(take_steps, name, **own)
