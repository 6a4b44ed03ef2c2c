"""Matrix products for the kernels, in blocks of 4 so that sums stay in registers.

A vector of the model (a state, an input) is a block of consecutive rows; each row is one component
for 16 sequences. The flat index of its first row locates a vector in its array.
"""

from typing import Any

import numba

from hw2exp.kernels.lanes import fma, load, store, total, zeros
from hw2exp.system.kernel_cache import kernel

STRETCH = 128
"""Time steps in a block of a gradient's sum; longer blocks would not fit in the nearer cache."""


@kernel
def product(W: Any, v: Any, v_row: Any, out: Any, out_row: Any) -> None:
    """Compute out[j] = Σ_k W[j, k] v[k].

    Args:
        W: matrix, ``(J, K)``.
        v: array with the vector, K rows.
        v_row: first row of the vector.
        out: array for the result, J rows; they must not overlap the vector's.
        out_row: first row of the result.
    """
    _multiply(W, v, v_row, out, out_row, False)


@kernel
def add_product(W: Any, v: Any, v_row: Any, out: Any, out_row: Any) -> None:
    """Add Σ_k W[j, k] v[k] to out[j]; for the arguments see :func:`product`."""
    _multiply(W, v, v_row, out, out_row, True)


# Inlined, because the call costs a sixth of the product of 16 rows and columns.
@numba.njit(error_model="numpy", nogil=True, forceinline=True)  # type: ignore[untyped-decorator]
def _multiply(W: Any, v: Any, v_row: Any, out: Any, out_row: Any, add: Any) -> None:
    J, K = W.shape
    whole = J // 4 * 4
    for j in range(0, whole, 4):
        n = out_row + j
        s0 = s1 = s2 = s3 = zeros(out)
        if add:
            s0, s1, s2, s3 = load(out, n), load(out, n + 1), load(out, n + 2), load(out, n + 3)
        for k in range(K):
            x = load(v, v_row + k)
            s0 = fma(x, W[j, k], s0)
            s1 = fma(x, W[j + 1, k], s1)
            s2 = fma(x, W[j + 2, k], s2)
            s3 = fma(x, W[j + 3, k], s3)
        store(out, n, s0)
        store(out, n + 1, s1)
        store(out, n + 2, s2)
        store(out, n + 3, s3)
    for j in range(whole, J):
        s = load(out, out_row + j) if add else zeros(out)
        for k in range(K):
            s = fma(load(v, v_row + k), W[j, k], s)
        store(out, out_row + j, s)


@kernel
def dot(a: Any, a_row: Any, b: Any, b_row: Any, rows: Any) -> Any:
    """Compute Σ_k a[k] b[k] for each sequence.

    Args:
        a: array with the first vector.
        a_row: first row of that vector.
        b: array with the second vector.
        b_row: first row of that vector.
        rows: rows of each vector.
    """
    s = zeros(a)
    for k in range(rows):
        s = fma(load(a, a_row + k), load(b, b_row + k), s)
    return s


@kernel
def add_outer(a: Any, a_row: Any, b: Any, b_row: Any, steps: Any, out: Any) -> None:
    """Add Σ_t Σ_sequences a[t, j] b[t, k] to out[j, k]: a weight's gradient.

    Args:
        a: array with ``steps`` consecutive vectors of J rows.
        a_row: first row of these vectors.
        b: array with ``steps`` consecutive vectors of K rows.
        b_row: first row of these vectors.
        steps: number of time steps.
        out: output, ``(J, K)``.
    """
    J, K = out.shape
    for first in range(0, steps, STRETCH):
        n, m, count = a_row + first * J, b_row + first * K, min(STRETCH, steps - first)
        for j in range(0, J, 4):
            for k in range(0, K, 4):
                if j + 4 <= J and k + 4 <= K:
                    _add_block(a, n + j, b, m + k, count, out, j, k)
                else:
                    _add_rest(a, n, b, m, count, out, j, k)


@kernel
def _add_rest(a: Any, a_row: Any, b: Any, b_row: Any, steps: Any, out: Any, j: Any, k: Any) -> None:
    """Compute a block of ``add_outer`` at the edges, smaller than 4 x 4."""
    J, K = out.shape
    for row in range(j, min(j + 4, J)):
        for column in range(k, min(k + 4, K)):
            s = zeros(a)
            for t in range(steps):
                s = fma(load(a, a_row + t * J + row), load(b, b_row + t * K + column), s)
            out[row, column] += total(s)


@kernel
def _add_block(
    a: Any, a_row: Any, b: Any, b_row: Any, steps: Any, out: Any, j: Any, k: Any
) -> None:
    """Compute the 4 x 4 block of ``add_outer`` at (j, k), unrolled: 16 sums in 16 registers."""
    J, K = out.shape
    s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = zeros(a)
    s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = zeros(a)
    for t in range(steps):
        n, m = a_row + t * J, b_row + t * K
        x0, x1, x2, x3 = load(a, n), load(a, n + 1), load(a, n + 2), load(a, n + 3)
        y = load(b, m)
        s00, s10, s20, s30 = fma(x0, y, s00), fma(x1, y, s10), fma(x2, y, s20), fma(x3, y, s30)
        y = load(b, m + 1)
        s01, s11, s21, s31 = fma(x0, y, s01), fma(x1, y, s11), fma(x2, y, s21), fma(x3, y, s31)
        y = load(b, m + 2)
        s02, s12, s22, s32 = fma(x0, y, s02), fma(x1, y, s12), fma(x2, y, s22), fma(x3, y, s32)
        y = load(b, m + 3)
        s03, s13, s23, s33 = fma(x0, y, s03), fma(x1, y, s13), fma(x2, y, s23), fma(x3, y, s33)
    rows = (
        (s00, s01, s02, s03),
        (s10, s11, s12, s13),
        (s20, s21, s22, s23),
        (s30, s31, s32, s33),
    )
    for row in range(4):
        for column in range(4):
            out[j + row, k + column] += total(rows[row][column])
