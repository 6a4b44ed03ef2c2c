"""One compiled pass over all replicas and sequences, 16 sequences at a time.

All 16 go forward and back before the next begin, so that their states stay in the nearest cache,
and memory doesn't grow with the fleet.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from hw2exp.closed_form import readout
from hw2exp.closed_form.lanes import WIDTH
from hw2exp.kernel import kernel, kernel_with


@cache
def make_passes(forward: Any, backward: Any) -> tuple[Callable[..., None], Callable[..., None]]:
    """Make a cell's two passes.

    Args:
        forward: the cell's kernel.
        backward: the cell's kernel.

    Returns:
        ``judge``, forward only, and ``learn``, forward and back.
    """
    name = f"{forward.__module__}.{forward.__name__}"
    cell = {"cell_forward": forward, "cell_backward": backward}
    return kernel_with(judge, name, **cell), kernel_with(learn, name, **cell)


cell_forward: Any = None  # of each copy of the passes its own
cell_backward: Any = None


def judge(symbols: Any, labels: Any, weights: Any, W: Any, b: Any, work: Any, out: Any) -> None:
    """Compute every sequence's loss.

    Args:
        symbols: ``(R, B, T)``.
        labels: ``(R, B)``.
        weights: the cell's, each ``(R, ·, ·)``.
        W: of the readout, ``(R, C, H)``.
        b: of the readout, ``(R, C)``.
        work: x ``(T, I, 16)``, h ``(T+1, H, 16)``, p ``(C, 16)``, what the cell keeps, and
            whether a one stands below the input.
        out: losses and whether each is correct, ``(R, B)``, to be filled.
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


def learn(
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
        symbols: as in ``judge``.
        labels: as in ``judge``.
        weights: as in ``judge``.
        W: as in ``judge``.
        b: as in ``judge``.
        work: as in ``judge``.
        out: as in ``judge``.
        way_back: ∂ℓ/∂h[t] ``(T+1, H, 16)``, and the cell's scratch.
        gradients: of the cell's weights, zeros.
        into_readout: of W and b, zeros.
        path: ``(R, 2, B, T, H)``, to be filled with h[t] and ∂ℓ/∂h[t]; or of length 0.
        flow: ``(R, T)``, zeros that get ‖∂ℓ/∂h[t]‖² over all sequences; or of length 0.
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
    """flow[t] += ‖δ[t]‖², in double precision: the square of an explosion overflows a single one.

    Args:
        delta: ∂ℓ/∂h[t], ``((T+1) groups, H, 16)``; zeros in lanes that have no sequence.
        groups: how many groups of 16 sequences a time step has.
        flow: ``(T,)``.
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
    """Write symbols as input vectors, padding as zeros.

    The last sequence stands also in lanes that have none, where it can't overflow unless it does
    so in its own: their share of the gradient is zero times finite numbers.

    Args:
        symbols: of up to 16 sequences, ``(·, T)``.
        x: ``(T, I, 16)``, to be filled.
        ones: the last of the I rows is one.
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
