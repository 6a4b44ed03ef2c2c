"""The linear readout of the last state, cross-entropy, and their gradient.

Forward:   y = W h[T] + b,  p = softmax(y),  ℓ = -log p[label].
Backward:  ∂ℓ/∂y = p - onehot(label),  ∂ℓ/∂h[T] = Wᵀ ∂ℓ/∂y,
           ∂ℓ/∂W = Σ ∂ℓ/∂y h[T]ᵀ,  ∂ℓ/∂b = Σ ∂ℓ/∂y.
"""

import math
from typing import Any

from hw2exp.closed_form.lanes import WIDTH
from hw2exp.closed_form.products import add_outer, product
from hw2exp.kernel import kernel


@kernel
def forward(h: Any, W: Any, b: Any, labels: Any, p: Any, losses: Any, correct: Any) -> None:
    """Compute every sequence's loss.

    Args:
        h: states, ``(R, N, T+1, H, 16)``.
        W: ``(R, C, H)``.
        b: ``(R, C)``.
        labels: ``(R, B)``.
        p: ``(R, N, C, 16)``, to be filled with the probabilities.
        losses: ``(R, B)``, to be filled.
        correct: ``(R, B)``, to be filled: is the likeliest class the label? Not where y is NaN.
    """
    R, C, H = W.shape
    N, last, B = h.shape[1], (h.shape[2] - 1) * H, labels.shape[1]
    for r in range(R):
        for n in range(N):
            y = p[r, n]
            product(W[r], h[r, n], last, y, 0)
            for lane in range(min(WIDTH, B - n * WIDTH)):
                label = labels[r, n * WIDTH + lane]
                top, best, broken = -math.inf, 0, False
                for c in range(C):
                    y[c, lane] += b[r, c]
                    broken |= math.isnan(y[c, lane])
                    if y[c, lane] > top:
                        top, best = float(y[c, lane]), c
                of_label = y[label, lane] - top
                whole = 0.0
                for c in range(C):
                    y[c, lane] = math.exp(y[c, lane] - top)
                    whole += y[c, lane]
                for c in range(C):
                    y[c, lane] /= whole
                losses[r, n * WIDTH + lane] = math.log(whole) - of_label
                correct[r, n * WIDTH + lane] = best == label and not broken


@kernel
def backward(
    h: Any, W: Any, labels: Any, p: Any, upstream: Any, delta: Any, dW: Any, db: Any, dy: Any
) -> None:
    """Compute the gradients.

    Args:
        h: states, ``(R, N, T+1, H, 16)``.
        W: ``(R, C, H)``.
        labels: ``(R, B)``.
        p: from ``forward``.
        upstream: the gradient of what is minimized by each sequence's loss, ``(R, B)``.
        delta: ``(R, N, T+1, H, 16)``, whose last place is filled.
        dW: zeros ``(R, C, H)``.
        db: zeros ``(R, C)``.
        dy: scratch, ``(C, 16)``.
    """
    R, C, H = W.shape
    N, last, B = h.shape[1], (h.shape[2] - 1) * H, labels.shape[1]
    for r in range(R):
        W_T = W[r].T
        for n in range(N):
            for lane in range(WIDTH):
                b = n * WIDTH + lane
                for c in range(C):
                    if b < B:
                        dy[c, lane] = (p[r, n, c, lane] - (c == labels[r, b])) * upstream[r, b]
                        db[r, c] += dy[c, lane]
                    else:
                        dy[c, lane] = 0.0
            add_outer(dy, 0, h[r, n], last, 1, dW[r])
            product(W_T, dy, 0, delta[r, n], last)
