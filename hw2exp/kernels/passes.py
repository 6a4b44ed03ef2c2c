"""Compiled passes over all replicas and sequences, 16 sequences at a time.

Each group of 16 runs forward and backward before the next group starts. So its states stay in the
nearest cache, and memory doesn't grow with the fleet.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from hw2exp.kernels import readout
from hw2exp.kernels.lanes import WIDTH
from hw2exp.system.kernel_cache import kernel, kernel_with


@cache
def make_passes(forward: Any, backward: Any) -> tuple[Callable[..., None], Callable[..., None]]:
    """Make the two passes of a cell.

    Args:
        forward: the cell's forward kernel.
        backward: the cell's backward kernel.

    Returns:
        ``evaluate``, forward only, and ``forward_backward``, forward and backward.
    """
    name = f"{forward.__module__}.{forward.__name__}"
    cell = {"cell_forward": forward, "cell_backward": backward}
    return kernel_with(evaluate, name, **cell), kernel_with(forward_backward, name, **cell)


cell_forward: Any = None  # bound to the cell's kernels in each copy of the passes
cell_backward: Any = None


def evaluate(symbols: Any, labels: Any, weights: Any, W: Any, b: Any, work: Any, out: Any) -> None:
    """Compute every sequence's loss.

    Args:
        symbols: indices, ``(R, B, T)``.
        labels: class indices, ``(R, B)``.
        weights: weights of the cell, each ``(R, ·, ·)``.
        W: weight of the readout, ``(R, C, H)``.
        b: bias of the readout, ``(R, C)``.
        work: x ``(T, I, 16)``, h ``(T+1, H, 16)``, p ``(C, 16)``, the arrays that the cell keeps,
            and whether the input has a one as its last row.
        out: output: the losses, and whether each sequence is correct, ``(R, B)``.
    """
    x, h, p, kept, ones = work
    losses, correct = out
    R, B, _ = symbols.shape
    for r in range(R):
        for i in range(0, B, WIDTH):
            own = slice(i, min(i + WIDTH, B))
            one_hot(symbols[r, own], x, ones)
            cell_forward(x, weights, r, h, kept)
            readout.forward(h, W[r], b[r], labels[r, own], p, losses[r, own], correct[r, own])


def forward_backward(
    symbols: Any,
    labels: Any,
    weights: Any,
    W: Any,
    b: Any,
    work: Any,
    out: Any,
    way_back: Any,
    gradients: Any,
    into_readout: Any,
    path: Any,
    flow: Any,
) -> None:
    """Compute every sequence's loss and the gradient of their mean.

    Args:
        symbols: see :func:`evaluate`.
        labels: see :func:`evaluate`.
        weights: see :func:`evaluate`.
        W: see :func:`evaluate`.
        b: see :func:`evaluate`.
        work: see :func:`evaluate`.
        out: see :func:`evaluate`.
        way_back: ∂ℓ/∂h[t] ``(T+1, H, 16)``, and the cell's scratch.
        gradients: output: gradients of the cell's weights; zeros at first.
        into_readout: output: gradients of W and b; zeros at first.
        path: output: h[t] and ∂ℓ/∂h[t], ``(R, 2, B, T, H)``; or an array of length 0.
        flow: output: ‖∂ℓ/∂h[t]‖² over all sequences, ``(R, T)``, zeros at first; or an array of
            length 0.
    """
    x, h, p, kept, ones = work
    losses, correct = out
    delta, scratch = way_back
    dW, db = into_readout
    R, B, _ = symbols.shape
    for r in range(R):
        for i in range(0, B, WIDTH):
            own = slice(i, min(i + WIDTH, B))
            one_hot(symbols[r, own], x, ones)
            cell_forward(x, weights, r, h, kept)
            readout.forward(h, W[r], b[r], labels[r, own], p, losses[r, own], correct[r, own])
            readout.backward(h, W[r], labels[r, own], p, 1 / B, delta, dW[r], db[r])
            cell_backward(x, weights, r, h, kept, delta, gradients, scratch)
            if len(path):
                for lane in range(own.stop - i):
                    path[r, 0, i + lane] = h[1:, :, lane]
                    path[r, 1, i + lane] = delta[1:, :, lane]
            if len(flow):
                add_squares(delta, 1, flow[r])


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


@kernel
def one_hot(symbols: Any, x: Any, ones: Any) -> None:
    """Write symbols as one-hot input vectors, padding as zeros.

    Lanes without a sequence get a copy of the last one, which can overflow only if the original
    does too. So these lanes add zero times finite numbers to the gradient.

    Args:
        symbols: indices of up to 16 sequences, ``(·, T)``.
        x: output, ``(T, I, 16)``.
        ones: whether the last of the I rows is one.
    """
    I = x.shape[1] - ones
    x[:] = 0.0
    for lane in range(WIDTH):
        sequence = min(lane, len(symbols) - 1)
        for t in range(len(x)):
            symbol = symbols[sequence, t]
            if symbol < I:
                x[t, symbol, lane] = 1.0
    if ones:
        x[:, I] = 1.0
