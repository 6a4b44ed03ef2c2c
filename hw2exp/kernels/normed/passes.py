"""Compiled passes over all replicas through a cell with a norm.

Batch normalization makes sequences depend on each other, so all groups of 16 in a batch compute a
time step before the next one. Otherwise each group runs forward and backward before the next group.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from hw2exp.kernels import readout
from hw2exp.kernels.lanes import WIDTH
from hw2exp.kernels.normed.forms import kernels_of
from hw2exp.kernels.passes import add_squares, one_hot
from hw2exp.system.kernel_cache import kernel, kernel_with

cell_forward: Any = None  # bound to the cell's kernels in each copy of the passes
cell_backward: Any = None


@cache
def make_passes(name: str, kind: str) -> dict[str, Callable[..., None]]:
    """Make the passes of a cell.

    Args:
        name: name of the form.
        kind: name of the norm.

    Returns:
        ``forward_backward``; ``evaluate``, with the batch's statistics; ``test``, with given ones.
    """
    training, testing, back = kernels_of(name, kind)
    return {
        "forward_backward": kernel_with(
            forward_backward, f"{name}_{kind}", cell_forward=training, cell_backward=back
        ),
        "evaluate": kernel_with(evaluate, f"{name}_{kind}", cell_forward=training),
        "test": kernel_with(evaluate, f"{name}_{kind}_test", cell_forward=testing),
    }


def evaluate(
    symbols: Any, labels: Any, weights: Any, W: Any, b: Any, eps: Any, statistics: Any, work: Any,
    out: Any,
) -> None:  # fmt: skip
    """Compute every sequence's loss.

    Args:
        symbols: indices, ``(R, B, T)``.
        labels: class indices, ``(R, B)``.
        weights: weights of the cell, each ``(R, ...)``.
        W: weight of the readout, ``(R, C, H)``.
        b: bias of the readout, ``(R, C)``.
        eps: added to the variance, ``(R,)``.
        statistics: mean and variance of each term, ``(R, T, rows)``; for batch normalization only:
            given statistics, or output of the batch's.
        work: x ``(T G, I, 16)``, h ``((T+1) G, H, 16)``, p ``(C, 16)``, mask ``(G, 16)`` and the
            arrays that the cell keeps.
        out: output: the losses, and whether each sequence is correct, ``(R, B)``.
    """
    x, h, p, mask, kept = work
    losses, correct = out
    R, B, _ = symbols.shape
    G = len(mask)
    for r in range(R):
        for first in range(0, B, G * WIDTH):
            count = enter(symbols[r], first, x, mask)
            cell_forward(x, weights, r, h, kept, statistics, eps[r], mask, count)
            for g in range(-(-count // WIDTH)):
                begin = first + g * WIDTH
                own = slice(begin, min(begin + WIDTH, B))
                states = h[: len(h) - G + g + 1]
                readout.forward(
                    states, W[r], b[r], labels[r, own], p, losses[r, own], correct[r, own]
                )


def forward_backward(
    symbols: Any, labels: Any, weights: Any, W: Any, b: Any, eps: Any, statistics: Any, work: Any,
    out: Any, way_back: Any, gradients: Any, into_readout: Any, path: Any, flow: Any,
) -> None:  # fmt: skip
    """Compute every sequence's loss and the gradient of their mean.

    Args:
        symbols: see :func:`evaluate`.
        labels: see :func:`evaluate`.
        weights: see :func:`evaluate`.
        W: see :func:`evaluate`.
        b: see :func:`evaluate`.
        eps: see :func:`evaluate`.
        statistics: see :func:`evaluate`.
        work: see :func:`evaluate`.
        out: see :func:`evaluate`.
        way_back: ∂ℓ/∂h[t] ``((T+1) G, H, 16)``, and the cell's scratch.
        gradients: output: gradients of the cell's weights; zeros at first.
        into_readout: output: gradients of W and b; zeros at first.
        path: output: h[t] and ∂ℓ/∂h[t], ``(R, 2, B, T, H)``; or an array of length 0.
        flow: output: ‖∂ℓ/∂h[t]‖² over all sequences, ``(R, T)``, zeros at first; or an array of
            length 0.
    """
    x, h, p, mask, kept = work
    losses, correct = out
    delta, scratch = way_back
    dW, db = into_readout
    R, B, T = symbols.shape
    G = len(mask)
    for r in range(R):
        for first in range(0, B, G * WIDTH):
            count = enter(symbols[r], first, x, mask)
            cell_forward(x, weights, r, h, kept, statistics, eps[r], mask, count)
            for g in range(G):
                begin = first + g * WIDTH
                own = slice(begin, min(begin + WIDTH, B))
                end = len(h) - G + g + 1
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


@kernel
def enter(symbols: Any, first: Any, x: Any, mask: Any) -> Any:
    """Write sequences as input vectors, and set the mask; return the number of sequences.

    Args:
        symbols: indices of all sequences of a replica, ``(B, T)``.
        first: index of the first sequence to write.
        x: output: input vectors, ``(T G, I, 16)``.
        mask: output: one in lanes with a sequence, else zero, ``(G, 16)``.
    """
    G, B = len(mask), len(symbols)
    count = min(B - first, G * WIDTH)
    for g in range(G):
        begin = min(first + g * WIDTH, B - 1)  # an empty group gets the last sequence
        one_hot(symbols[begin : min(begin + WIDTH, B)], x[g::G], False)
        for lane in range(WIDTH):
            mask[g, lane] = 1.0 if g * WIDTH + lane < count else 0.0
    return count
