"""Compiled passes over all replicas: pack the parameters, run, and unpack the gradient.

A group of 16 sequences runs forward and backward before the next group starts. So its states stay
in the nearest cache, and memory doesn't grow with the fleet. Batch normalization makes sequences
depend on each other, so all groups of a batch compute a time step before the next one.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from hw2exp.kernels import readout
from hw2exp.kernels.forms import ClosedForm
from hw2exp.kernels.lanes import WIDTH
from hw2exp.kernels.normed.kinds import Kind, kernels_with
from hw2exp.kernels.packing import join, split
from hw2exp.system.kernel_cache import kernel, kernel_with

cell_forward: Any = None  # bound to the cell's kernels in each copy of the passes
cell_backward: Any = None
pack: Any = None
unpack: Any = None


@cache
def make_passes(form: ClosedForm, name: str, kind: Kind | None) -> dict[str, Callable[..., None]]:
    """Make the passes of a cell.

    Args:
        form: the cell's closed form.
        name: suffix of the passes' names: model and norm.
        kind: the norm, if any.

    Returns:
        ``learn``; ``evaluate``, with the batch's statistics; ``test``, with given ones.
    """
    if kind is None:
        learns = judges = kernel_with(forward_alone, name, cell_forward=form.forward)
        back = kernel_with(backward_alone, name, cell_backward=form.backward)
    else:
        learns, judges, back = kernels_with(form, name, kind)
    packing = {"pack": form.pack, "unpack": form.unpack}
    return {
        "learn": kernel_with(learn, name, cell_forward=learns, cell_backward=back, **packing),
        "evaluate": kernel_with(evaluate, name, cell_forward=learns, **packing),
        "test": kernel_with(evaluate, f"{name}_test", cell_forward=judges, **packing),
    }


def forward_alone(
    x: Any, weights: Any, r: Any, h: Any, kept: Any, statistics: Any, eps: Any, mask: Any,
    count: Any,
) -> None:  # fmt: skip
    """Run a cell's forward kernel without a norm."""
    cell_forward(x, weights, r, h, kept)


def backward_alone(
    x: Any, weights: Any, r: Any, h: Any, kept: Any, delta: Any, gradients: Any, scratch: Any,
    mask: Any, count: Any,
) -> None:  # fmt: skip
    """Run a cell's backward kernel without a norm."""
    cell_backward(x, weights, r, h, kept, delta, gradients, scratch)


def evaluate(rows: Any, symbols: Any, labels: Any, memory: Any, out: Any) -> None:
    """Compute every sequence's loss.

    Args:
        rows: the parameters, ``(R, P)``.
        symbols: indices, ``(R, B, T)``.
        labels: class indices, ``(R, B)``.
        memory: see :func:`learn`.
        out: output: the losses, and whether each sequence is correct, ``(R, B)``.
    """
    (of_cell, weights, W, b), (eps, statistics), (x, h, p, mask, kept, ones), _ = memory
    losses, correct = out
    R, B, _ = symbols.shape
    G = len(mask)
    for r in range(R):
        pack(split(rows[r], of_cell, W[r], b[r]), r, weights)
        for first in range(0, B, G * WIDTH):
            count = enter(symbols[r], first, x, mask, ones)
            cell_forward(x, weights, r, h, kept, statistics, eps[r], mask, count)
            for g in range(G):
                begin = first + g * WIDTH
                own, end = slice(begin, min(begin + WIDTH, B)), len(h) - G + g + 1
                readout.forward(
                    h[:end], W[r], b[r], labels[r, own], p, losses[r, own], correct[r, own]
                )


def learn(
    rows: Any,
    symbols: Any,
    labels: Any,
    memory: Any,
    out: Any,
    mean: Any,
    gradient: Any,
    path: Any,
    flow: Any,
) -> None:
    """Compute every sequence's loss, their mean, and its gradient.

    The memory has four parts:
    1. the number of the cell's parameters; the cell's weights, each ``(R, ·, ·)``; weight
       ``(R, C, H)`` and bias ``(R, C)`` of the readout;
    2. eps of the norm ``(R,)``; for batch normalization only, mean and variance of each term
       ``(R, T, rows)``: given, or output;
    3. x ``(N, I, 16)``, h ``(N+G, H, 16)``, p ``(C, 16)``, mask ``(G, 16)``; the arrays that the
       cell keeps; whether the input has a one as its last row;
    4. for the way back: ∂ℓ/∂h[t] ``(N+G, H, 16)``, the cell's scratch, the weights' gradients.

    Args:
        rows: see :func:`evaluate`.
        symbols: see :func:`evaluate`.
        labels: see :func:`evaluate`.
        memory: see above.
        out: see :func:`evaluate`.
        mean: output: the mean losses, ``(R,)``.
        gradient: output: their gradients, ``(R, P)``.
        path: output: h[t] and ∂ℓ/∂h[t], ``(R, 2, B, T, H)``; or an array of length 0.
        flow: output: ‖∂ℓ/∂h[t]‖² over all sequences, ``(R, T)``; or an array of length 0.
    """
    (of_cell, weights, W, b), (eps, statistics), (x, h, p, mask, kept, ones), way_back = memory
    losses, correct = out
    delta, scratch, gradients, dW, db = way_back
    R, B, T = symbols.shape
    G = len(mask)
    for each in gradients:
        each[:] = 0
    dW[:] = 0
    db[:] = 0
    flow[:] = 0
    for r in range(R):
        others = split(rows[r], of_cell, W[r], b[r])
        pack(others, r, weights)
        for first in range(0, B, G * WIDTH):
            count = enter(symbols[r], first, x, mask, ones)
            cell_forward(x, weights, r, h, kept, statistics, eps[r], mask, count)
            for g in range(G):
                begin = first + g * WIDTH
                own, end = slice(begin, min(begin + WIDTH, B)), len(h) - G + g + 1
                readout.forward(
                    h[:end], W[r], b[r], labels[r, own], p, losses[r, own], correct[r, own]
                )
                readout.backward(h[:end], W[r], labels[r, own], p, 1 / B, delta[:end], dW[r], db[r])
            cell_backward(x, weights, r, h, kept, delta, gradients, scratch, mask, count)
            if len(path):
                for place in range(count):
                    g, lane = place // WIDTH, place % WIDTH
                    for t in range(T):
                        path[r, 0, first + place, t] = h[(t + 1) * G + g, :, lane]
                        path[r, 1, first + place, t] = delta[(t + 1) * G + g, :, lane]
            if len(flow):
                add_squares(delta, G, flow[r])
        of_others = np.empty_like(others)
        unpack(others, r, gradients, of_others)
        join(of_others, of_cell, dW[r], db[r], gradient[r])
        total = 0.0
        for i in range(B):
            total += losses[r, i]
        mean[r] = total / B


@kernel
def enter(symbols: Any, first: Any, x: Any, mask: Any, ones: Any) -> Any:
    """Write symbols as one-hot input vectors, padding as zeros; return the number of sequences.

    Lanes without a sequence get a copy of the last one, which can overflow only if the original
    does too. So these lanes add zero times finite numbers to the gradient.

    Args:
        symbols: indices of all sequences of a replica, ``(B, T)``.
        first: index of the first sequence to write.
        x: output, ``(N, I, 16)``.
        mask: output: one in lanes with a sequence, else zero, ``(G, 16)``.
        ones: whether the last of the I rows is one.
    """
    (B, T), G, I = symbols.shape, len(mask), x.shape[1] - ones
    x[:] = 0.0
    for place in range(G * WIDTH):
        g, lane, sequence = place // WIDTH, place % WIDTH, min(first + place, B - 1)
        mask[g, lane] = 1.0 if first + place < B else 0.0
        for t in range(T):
            symbol = symbols[sequence, t]
            if symbol < I:
                x[t * G + g, symbol, lane] = 1.0
    if ones:
        x[:, I] = 1.0
    return min(B - first, G * WIDTH)


@kernel
def add_squares(delta: Any, groups: Any, flow: Any) -> None:
    """Add ‖δ[t]‖² to flow[t], in float64, because squares in an explosion overflow float32.

    Args:
        delta: ∂ℓ/∂h[t], ``((T+1) groups, H, 16)``; zeros in lanes without a sequence.
        groups: groups of 16 sequences in a time step.
        flow: output, ``(T,)``.
    """
    H = delta.shape[1]
    lanes = np.empty(WIDTH)
    for t in range(len(flow)):
        lanes[:] = 0.0
        for row in range((t + 1) * groups, (t + 2) * groups):
            for j in range(H):
                for lane in range(WIDTH):
                    lanes[lane] += np.float64(delta[row, j, lane]) ** 2
        for lane in range(WIDTH):
            flow[t] += lanes[lane]
