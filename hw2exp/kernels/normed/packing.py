"""Weights of the kernels with a norm from a row, and the gradient back.

See :mod:`hw2exp.kernels.packing`. A row ends with the norm's gains and shifts.
"""

from typing import Any

from hw2exp.kernels.packing import pack_plain, unpack_plain
from hw2exp.system.kernel_cache import kernel


@kernel
def pack_terms(row: Any, r: Any, weights: Any) -> None:
    """Copy both matrices, the sum of both biases, and the gains."""
    J = weights[2].shape[2]
    n = weights[0][r].size + weights[1][r].size
    pack_plain(row, r, weights[:2])
    weights[2][r, 0] = row[n : n + J] + row[n + J : n + 2 * J]
    pack_plain(row[n + 2 * J :], r, weights[3:])


@kernel
def unpack_terms(row: Any, r: Any, gradients: Any, out: Any) -> None:
    """Copy the gradients; both biases have that of their sum."""
    J = gradients[2].shape[2]
    n = gradients[0][r].size + gradients[1][r].size
    unpack_plain(row, r, gradients[:2], out)
    out[n : n + J] = gradients[2][r, 0]
    out[n + J : n + 2 * J] = gradients[2][r, 0]
    unpack_plain(row, r, gradients[3:], out[n + 2 * J :])


@kernel
def pack_stacked(row: Any, r: Any, weights: Any) -> None:
    """Stack Q, K, V of the input, and each of them of all lags; a row without a gain gets 1."""
    of_input, of_states = weights[0][r], weights[1][r]
    (rows, H), n = of_states.shape, of_input.size
    m, lags = H * H, rows // (3 * H)
    of_input[:] = row[:n].reshape(of_input.shape)
    for i in range(lags):
        for part in range(3):
            first, own = (part * lags + i) * H, row[n : n + m]
            of_states[first : first + H] = own.reshape((H, H))
            n += m
    given = (len(row) - n) // (H + lags * H)  # parts with gains: all three, or queries and keys
    for gains, each in ((weights[2][r, 0], H), (weights[3][r, 0], lags * H)):
        gains[:] = 1.0
        gains[: given * each] = row[n : n + given * each]
        n += given * each


@kernel
def unpack_stacked(row: Any, r: Any, gradients: Any, out: Any) -> None:
    """Copy the gradients of the matrices, and of the gains that are parameters."""
    of_input, of_states = gradients[0][r], gradients[1][r]
    (rows, H), n = of_states.shape, of_input.size
    m, lags = H * H, rows // (3 * H)
    out[:n] = of_input.reshape(n)
    for i in range(lags):
        for part in range(3):
            first = (part * lags + i) * H
            out[n : n + m] = of_states[first : first + H].reshape(m)
            n += m
    given = (len(row) - n) // (H + lags * H)
    for gains, each in ((gradients[2][r, 0], H), (gradients[3][r, 0], lags * H)):
        out[n : n + given * each] = gains[: given * each]
        n += given * each
