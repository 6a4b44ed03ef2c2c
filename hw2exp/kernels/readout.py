"""The linear readout of the last state, cross-entropy, and their gradient.

Forward:   y = W h[T] + b,  p = softmax(y),  ℓ = -log p[label].
Backward:  ∂ℓ/∂y = p - onehot(label),  ∂ℓ/∂h[T] = Wᵀ ∂ℓ/∂y,
           ∂ℓ/∂W = Σ ∂ℓ/∂y h[T]ᵀ,  ∂ℓ/∂b = Σ ∂ℓ/∂y.
"""

import math
from typing import Any

import numpy as np

from hw2exp.kernels.lanes import WIDTH
from hw2exp.kernels.products import add_outer, product
from hw2exp.system.elementary import exp, log
from hw2exp.system.kernel_cache import kernel


@kernel
def forward(h: Any, W: Any, b: Any, labels: Any, p: Any, losses: Any, correct: Any) -> None:
    """Compute the loss of each of up to 16 sequences.

    Args:
        h: states, ``(T+1, H, 16)``.
        W: weight, ``(C, H)``.
        b: bias, ``(C,)``.
        labels: class index of each sequence.
        p: output: probabilities, ``(C, 16)``.
        losses: output: loss of each sequence.
        correct: output: whether the likeliest class is the label; False if any y is NaN.
    """
    C, H = W.shape
    product(W, h, (len(h) - 1) * H, p, 0)
    tops, of_label, whole = np.empty(WIDTH), np.empty(WIDTH), np.zeros(WIDTH)
    for lane in range(len(labels)):
        top, best, broken = -math.inf, 0, False
        for c in range(C):
            p[c, lane] += b[c]
            broken |= math.isnan(p[c, lane])
            if p[c, lane] > top:
                top, best = float(p[c, lane]), c
        tops[lane], of_label[lane] = top, p[labels[lane], lane] - top
        correct[lane] = best == labels[lane] and not broken
    for c in range(C):
        for lane in range(len(labels)):
            p[c, lane] = exp(p[c, lane] - tops[lane])
            whole[lane] += p[c, lane]
    for c in range(C):
        for lane in range(len(labels)):
            p[c, lane] /= whole[lane]
    for lane in range(len(labels)):
        losses[lane] = log(whole[lane]) - of_label[lane]


@kernel
def backward(h: Any, W: Any, labels: Any, p: Any, share: Any, delta: Any, dW: Any, db: Any) -> None:
    """Compute ∂ℓ/∂h[T], and add to the gradients of W and b.

    Args:
        h: states, ``(T+1, H, 16)``.
        W: weight, ``(C, H)``.
        labels: class index of each sequence.
        p: probabilities from ``forward``; overwritten with the gradient of the logits.
        share: weight of a sequence in the mean loss, 1/B.
        delta: output: ∂ℓ/∂h[T] in the last entry, ``(T+1, H, 16)``.
        dW: gradient of W, ``(C, H)``.
        db: gradient of b, ``(C,)``.
    """
    C, H = W.shape
    last = (len(h) - 1) * H
    for c in range(C):
        for lane in range(WIDTH):
            if lane < len(labels):
                p[c, lane] = (p[c, lane] - (c == labels[lane])) * share
                db[c] += p[c, lane]
            else:
                p[c, lane] = 0.0
    add_outer(p, 0, h, last, 1, dW)
    product(W.T, p, 0, delta, last)
