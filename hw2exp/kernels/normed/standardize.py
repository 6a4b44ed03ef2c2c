"""Standardization of a term at a time step, and its gradient.

Forward:   s = (z - mean(z)) / √(var(z) + ε),  y = γ ⊙ s.
Backward:  with e = γ ⊙ ∂ℓ/∂y,  ∂ℓ/∂z = (e - mean(e) - s ⊙ mean(e ⊙ s)) / √(var(z) + ε),
           ∂ℓ/∂γ = Σ ∂ℓ/∂y ⊙ s.

Layer normalization takes means over the features of a sequence (Ba, Kiros & Hinton 2016, eq. 3-4),
batch normalization over the sequences of a batch (Ioffe & Szegedy 2015). At time t, the J rows of a
term are stored for all groups of 16 sequences in turn: group g's rows begin at (t G + g) J.

All forward kernels have the same arguments, and so have all backward kernels:
    s: the term, ``(T G, J, 16)``; input z, output s.
    inverse: 1 / √(var + ε), kept for the backward pass; 0 in batch normalization if all sequences
        agree, so that neither a value nor a gradient passes.
    mean, variance: statistics of every time step, ``(T, J)``; for batch normalization only.
    t: the time step.
    rows: number of rows, J.
    normed: number of standardized rows; for layer normalization the first ones.
    width: number of features standardized together; for layer normalization only.
    eps: ε.
    mask: zero in lanes without a sequence, ``(G, 16)``.
    count: number of sequences.
"""

import math
from typing import Any

from hw2exp.kernels.lanes import load, sqrt, store, total, zeros
from hw2exp.system.kernel_cache import kernel


@kernel
def by_features(
    s: Any, inverse: Any, mean: Any, variance: Any, t: Any, rows: Any, normed: Any, width: Any,
    eps: Any, mask: Any, count: Any,
) -> None:  # fmt: skip
    """Apply layer normalization."""
    for g in range(len(mask)):
        n = t * len(mask) + g
        for first in range(0, normed, width):
            row = n * rows + first
            middle, spread = zeros(s), zeros(s)
            for j in range(width):
                middle = middle + load(s, row + j)
            middle = middle / float(width)
            for j in range(width):
                away = load(s, row + j) - middle
                spread = spread + away * away
                store(s, row + j, away)
            scale = 1.0 / sqrt(spread / float(width) + eps)
            store(inverse, (n * normed + first) // width, scale)
            for j in range(width):
                store(s, row + j, load(s, row + j) * scale)


@kernel
def by_features_back(
    d: Any, s: Any, inverse: Any, t: Any, rows: Any, normed: Any, width: Any, mask: Any, count: Any
) -> None:
    """Backpropagate through layer normalization; ``d`` is e on input, ∂ℓ/∂z on output."""
    for g in range(len(mask)):
        n = t * len(mask) + g
        for first in range(0, normed, width):
            row = n * rows + first
            middle, along = zeros(d), zeros(d)
            for j in range(width):
                e = load(d, row + j)
                middle = middle + e
                along = along + e * load(s, row + j)
            middle, along = middle / float(width), along / float(width)
            scale = load(inverse, (n * normed + first) // width)
            for j in range(width):
                rest = load(d, row + j) - middle - load(s, row + j) * along
                store(d, row + j, rest * scale)


@kernel
def by_sequences(
    s: Any, inverse: Any, mean: Any, variance: Any, t: Any, rows: Any, normed: Any, width: Any,
    eps: Any, mask: Any, count: Any,
) -> None:  # fmt: skip
    """Normalize by the batch's statistics, and store them; lanes without a sequence become 0."""
    first, groups = t * len(mask) * rows, len(mask)
    for j in range(rows):
        origin = s[t * groups, j, 0]  # subtracted first, so that equal sequences give exactly 0
        sums = zeros(s)
        for g in range(groups):
            sums = sums + (load(s, first + g * rows + j) - origin) * load(mask, g)
        middle = total(sums) / count
        sums = zeros(s)
        for g in range(groups):
            row = first + g * rows + j
            away = (load(s, row) - origin - middle) * load(mask, g)
            sums = sums + away * away
            store(s, row, away)
        spread = total(sums) / count
        scale = inverse_deviation(spread, eps)
        store(inverse, t * rows + j, zeros(s) + scale)
        mean[t, j], variance[t, j] = origin + middle, spread
        for g in range(groups):
            row = first + g * rows + j
            store(s, row, load(s, row) * scale)


@kernel
def by_sequences_back(
    d: Any, s: Any, inverse: Any, t: Any, rows: Any, normed: Any, width: Any, mask: Any, count: Any
) -> None:
    """Backpropagate through batch normalization; ``d`` is e on input, ∂ℓ/∂z on output."""
    first, groups = t * len(mask) * rows, len(mask)
    for j in range(rows):
        sums, products = zeros(d), zeros(d)
        for g in range(groups):
            e = load(d, first + g * rows + j)
            sums = sums + e
            products = products + e * load(s, first + g * rows + j)
        middle, along = total(sums) / count, total(products) / count
        scale = load(inverse, t * rows + j)
        for g in range(groups):
            row = first + g * rows + j
            rest = load(d, row) - middle - load(s, row) * along
            store(d, row, rest * scale * load(mask, g))


@kernel
def inverse_deviation(variance: Any, eps: Any) -> Any:
    """Return 1 / √(variance + ε), or 0 for a feature that does not vary.

    Args:
        variance: variance of a feature over the batch.
        eps: ε.
    """
    return 0.0 * variance if variance == 0.0 else 1.0 / math.sqrt(variance + eps)


@kernel
def by_given_statistics(
    s: Any, inverse: Any, mean: Any, variance: Any, t: Any, rows: Any, normed: Any, width: Any,
    eps: Any, mask: Any, count: Any,
) -> None:  # fmt: skip
    """Apply batch normalization with given statistics."""
    first = t * len(mask) * rows
    for j in range(rows):
        scale = inverse_deviation(variance[t, j], eps)
        for g in range(len(mask)):
            row = first + g * rows + j
            store(s, row, (load(s, row) - mean[t, j]) * scale)


@kernel
def gain_back(d: Any, s: Any, gamma: Any, sums: Any, t: Any, rows: Any, groups: Any) -> None:
    """Turn ∂ℓ/∂y into e in place, and add to γ's gradient.

    Args:
        d: ∂ℓ/∂y on input, e on output, ``(T G, J, 16)``.
        s: the standardized term, ``(T G, J, 16)``.
        gamma: gains, ``(J,)``.
        sums: γ's gradient in each lane, ``(J, 16)``.
        t: the time step.
        rows: number of rows, J.
        groups: number of groups, G.
    """
    for g in range(groups):
        first = (t * groups + g) * rows
        for j in range(rows):
            out = load(d, first + j)
            store(sums, j, load(sums, j) + out * load(s, first + j))
            store(d, first + j, out * gamma[j])


@kernel
def add_totals(sums: Any, out: Any) -> None:
    """Add each row's sum over its lanes to a vector.

    Args:
        sums: rows of lanes, ``(J, 16)``.
        out: output, ``(J,)``.
    """
    for j in range(len(out)):
        out[j] += total(load(sums, j))
