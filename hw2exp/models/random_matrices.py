"""Random matrices from a generator's uniform numbers, with the same bits on every machine."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hw2exp.models.axes import Shape
from hw2exp.system.elementary import cos_pi, exp, log
from hw2exp.system.kernel_cache import kernel

ROW = 15
"""Nonzero entries in a row of a sparse matrix."""

SQUARINGS = 53
"""Squarings after which the spectral radius is right to rounding; each halves the error."""


def normal(shape: Shape, generator: torch.Generator) -> Tensor:
    """Draw from the standard normal distribution, in float64.

    Args:
        shape: shape of the result.
        generator: source of the random numbers.

    Source: Box & Muller 1958, eq. 1.
    """
    uniform = torch.rand((2, math.prod(shape)), dtype=torch.float64, generator=generator)
    return torch.from_numpy(_box_muller(uniform.numpy())).view(shape)


def orthogonal(shape: Shape, generator: torch.Generator) -> Tensor:
    """Draw a matrix with orthonormal rows, or columns if these are fewer, in float64.

    It is distributed uniformly, as by ``torch.nn.init.orthogonal_`` (Saxe, McClelland & Ganguli
    2014): the orthonormal factor of a normal matrix, the other factor's diagonal being positive.

    Args:
        shape: ``(out, in)``.
        generator: source of the random numbers.
    """
    rows = normal((min(shape), max(shape)), generator)
    _orthonormalize(rows.numpy())
    return rows if shape[0] <= shape[1] else rows.T


def sparse(shape: Shape, generator: torch.Generator) -> Tensor:
    """Draw a matrix with 15 normal entries a row, scaled to spectral radius 1, in float64.

    This is the "smart tanh" initialization in the public code of Pascanu, Mikolov & Bengio 2013.

    Args:
        shape: ``(n, n)``.
        generator: source of the random numbers.
    """
    value = normal(shape, generator)
    for row in value:
        row[torch.randperm(len(row), generator=generator)[ROW:]] = 0
    return value / float(spectral_radius(value.numpy()))


@kernel
def spectral_radius(A: Any) -> Any:
    """Compute the largest modulus of an eigenvalue as the limit of ‖Aⁿ‖^(1/n), n = 2ᵏ.

    Powers must not underflow: the radius must not be many orders below the largest entry.

    Args:
        A: matrix, ``(n, n)`` in float64.

    Source: Gelfand 1941; by squaring, so that complex pairs and close moduli cost nothing more.
    """
    power, logarithm, share = A.copy(), 0.0, 1.0
    for _ in range(SQUARINGS):
        size = np.abs(power).max()
        if size == 0.0:
            return 0.0
        power /= size
        logarithm += share * log(size)
        share *= 0.5
        square = np.zeros_like(power)
        for i in range(len(A)):
            for k in range(len(A)):
                for j in range(len(A)):
                    square[i, j] += power[i, k] * power[k, j]
        power = square
    return exp(logarithm)


@kernel
def _box_muller(uniform: Any) -> Any:
    """Turn numbers of [0, 1), ``(2, n)``, into normal ones."""
    out = np.empty(uniform.shape[1])
    for i in range(len(out)):
        radius = math.sqrt(-2.0 * log(1.0 - uniform[0, i]))
        out[i] = radius * cos_pi(2.0 * uniform[1, i] - 1.0)
    return out


@kernel
def _orthonormalize(rows: Any) -> None:
    """Orthonormalize rows in place by Gram & Schmidt, twice each, which loses no digits."""
    for i in range(len(rows)):
        for _ in range(2):
            for j in range(i):
                along = _dot(rows[i], rows[j])
                for k in range(rows.shape[1]):
                    rows[i, k] -= along * rows[j, k]
        length = math.sqrt(_dot(rows[i], rows[i]))
        for k in range(rows.shape[1]):
            rows[i, k] /= length


@kernel
def _dot(a: Any, b: Any) -> Any:
    total = 0.0
    for k in range(len(a)):
        total += a[k] * b[k]
    return total
