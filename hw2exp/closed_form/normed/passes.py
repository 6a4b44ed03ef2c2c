"""One compiled pass over all replicas, through a cell with a norm.

Batch normalization makes sequences depend on each other, so all groups of 16 of a batch go through
a time step before the next; otherwise a group goes forward and back before the next group begins.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from hw2exp.closed_form import readout
from hw2exp.closed_form.lanes import WIDTH
from hw2exp.closed_form.normed.forms import kernels_of
from hw2exp.closed_form.passes import add_squares, one_hot
from hw2exp.kernel import kernel, kernel_with

cell_forward: Any = None  # of each copy of the passes its own
cell_backward: Any = None


@cache
def make_passes(name: str, kind: str) -> dict[str, Callable[..., None]]:
    """Make a cell's passes.

    Args:
        name: of the form.
        kind: the norm's name.

    Returns:
        ``learn``; ``judge``, with the statistics of the batch; ``test``, with those that are given.
    """
    learns, judges, back = kernels_of(name, kind)
    return {
        "learn": kernel_with(learn, f"{name}_{kind}", cell_forward=learns, cell_backward=back),
        "judge": kernel_with(judge, f"{name}_{kind}", cell_forward=learns),
        "test": kernel_with(judge, f"{name}_{kind}_test", cell_forward=judges),
    }


def judge(
    symbols: Any, labels: Any, weights: Any, W: Any, b: Any, eps: Any, statistics: Any, work: Any,
    out: Any,
) -> None:  # fmt: skip
    """Compute every sequence's loss.

    Args:
        symbols: ``(R, B, T)``.
        labels: ``(R, B)``.
        weights: the cell's, each ``(R, ...)``.
        W: of the readout, ``(R, C, H)``.
        b: of the readout, ``(R, C)``.
        eps: ``(R,)``.
        statistics: mean and variance of each term, ``(R, T, rows)``; of batch normalization read,
            or filled by the batch's.
        work: x ``(T G, I, 16)``, h ``((T+1) G, H, 16)``, p ``(C, 16)``, mask ``(G, 16)`` and what
            the cell keeps.
        out: losses and whether each is correct, ``(R, B)``, to be filled.
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


def learn(
    symbols: Any, labels: Any, weights: Any, W: Any, b: Any, eps: Any, statistics: Any, work: Any,
    out: Any, way_back: Any, gradients: Any, into_readout: Any, path: Any, flow: Any,
) -> None:  # fmt: skip
    """Compute every sequence's loss and the gradient of their mean.

    Args:
        symbols: as in ``judge``.
        labels: as in ``judge``.
        weights: as in ``judge``.
        W: as in ``judge``.
        b: as in ``judge``.
        eps: as in ``judge``.
        statistics: as in ``judge``.
        work: as in ``judge``.
        out: as in ``judge``.
        way_back: ∂ℓ/∂h[t] ``((T+1) G, H, 16)``, and the cell's scratch.
        gradients: of the cell's weights, zeros.
        into_readout: of W and b, zeros.
        path: ``(R, 2, B, T, H)``, to be filled with h[t] and ∂ℓ/∂h[t]; or of length 0.
        flow: ``(R, T)``, zeros that get ‖∂ℓ/∂h[t]‖² over all sequences; or of length 0.
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
    """Write sequences as input vectors, and note which lanes have one; returns how many have.

    Args:
        symbols: of all of a replica's sequences, ``(B, T)``.
        first: the first that is written.
        x: ``(T G, I, 16)``, to be filled.
        mask: ``(G, 16)``, to be filled.
    """
    G, B = len(mask), len(symbols)
    count = min(B - first, G * WIDTH)
    for g in range(G):
        begin = min(first + g * WIDTH, B - 1)  # a group without any gets the last one
        one_hot(symbols[begin : min(begin + WIDTH, B)], x[g::G], False)
        for lane in range(WIDTH):
            mask[g, lane] = 1.0 if g * WIDTH + lane < count else 0.0
    return count
