"""Newton-Schulz iteration in compiled code, with the same bits in any fleet and on any machine.

The order of the sums in a library's matrix product depends on the kind of CPU, and on whether there
is one matrix or several.
"""

from typing import Any

import numpy as np

from hw2exp.system.kernel_cache import kernel

A, B, C = 3.4445, -4.7750, 2.0315
"""The constants of Jordan et al. 2024, which make small singular values grow fast."""


@kernel
def orthogonalize(matrices: Any, iterations: Any) -> Any:
    """Set X = a X + (b G + c G²) X with G = X Xᵀ, some times.

    Args:
        matrices: a matrix of norm 1 for each replica, ``(R, n, m)`` with n <= m.
        iterations: how many times.
    """
    result = np.empty_like(matrices)
    for r in range(len(matrices)):
        x = matrices[r].copy()
        for _ in range(iterations):
            gram = multiply(x, x.T.copy())  # contiguous: rows, for vectors of the CPU
            x = A * x + multiply(B * gram + C * multiply(gram, gram), x)
        result[r] = x
    return result


@kernel
def multiply(left: Any, right: Any) -> Any:
    """Return the product of two matrices, each sum in order."""
    out = np.zeros((left.shape[0], right.shape[1]), left.dtype)
    for i in range(left.shape[0]):
        row = out[i]
        for k in range(left.shape[1]):
            factor, added = left[i, k], right[k]
            for j in range(len(row)):
                row[j] += factor * added[j]
    return out
