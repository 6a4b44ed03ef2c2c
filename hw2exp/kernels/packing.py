"""Weights of the kernels from the parameters of a replica in a row, and the gradient back.

A function ``pack`` takes the row without the readout's parameters ``(·,)``, the index r of the
replica, and the weights, each ``(R, ·, ·)``, into which it writes. A function ``unpack`` takes that
row, r, the weights' gradients, and the gradient of the row, into which it writes.
"""

from typing import Any

import numpy as np

from hw2exp.system.kernel_cache import kernel


@kernel
def split(row: Any, of_cell: Any, W: Any, b: Any) -> Any:
    """Copy the readout's parameters from a row; return the others, of the cell and of the norm.

    Args:
        row: the parameters of a replica, ``(P,)``: of the cell, of the readout, of the norm.
        of_cell: number of the cell's parameters.
        W: output: weight of the readout, ``(C, H)``.
        b: output: its bias, ``(C,)``.
    """
    n = of_cell + W.size
    W[:] = row[of_cell:n].reshape(W.shape)
    b[:] = row[n : n + b.size]
    return np.concatenate((row[:of_cell], row[n + b.size :]))


@kernel
def join(others: Any, of_cell: Any, dW: Any, db: Any, out: Any) -> None:
    """Write the gradient of a row from its parts; the inverse of ``split``."""
    n = of_cell + dW.size
    out[:of_cell] = others[:of_cell]
    out[of_cell:n] = dW.reshape(dW.size)
    out[n : n + db.size] = db
    out[n + db.size :] = others[of_cell:]


@kernel
def pack_plain(row: Any, r: Any, weights: Any) -> None:
    """Copy parameters that are the weights themselves."""
    n = 0
    for weight in weights:
        own = weight[r]
        own[:] = row[n : n + own.size].reshape(own.shape)
        n += own.size


@kernel
def unpack_plain(row: Any, r: Any, gradients: Any, out: Any) -> None:
    """Copy gradients of parameters that are the weights themselves."""
    n = 0
    for gradient in gradients:
        own = gradient[r]
        out[n : n + own.size] = own.reshape(own.size)
        n += own.size


@kernel
def pack_biased(row: Any, r: Any, weights: Any) -> None:
    """Join the input's matrix with the sum of both biases as its last column."""
    joined, recurrent = weights[0][r], weights[1][r]
    J, I = joined.shape[0], joined.shape[1] - 1
    n, m = J * I, J * I + recurrent.size
    joined[:, :I] = row[:n].reshape((J, I))
    recurrent[:] = row[n:m].reshape(recurrent.shape)
    joined[:, I] = row[m : m + J] + row[m + J : m + 2 * J]


@kernel
def unpack_biased(row: Any, r: Any, gradients: Any, out: Any) -> None:
    """Split the gradient of the joined matrix; both biases have that of the last column."""
    joined, recurrent = gradients[0][r], gradients[1][r]
    J, I = joined.shape[0], joined.shape[1] - 1
    n, m = J * I, J * I + recurrent.size
    for j in range(J):
        out[j * I : (j + 1) * I] = joined[j, :I]
    out[n:m] = recurrent.reshape(recurrent.size)
    out[m : m + J] = joined[:, I]
    out[m + J : m + 2 * J] = joined[:, I]


@kernel
def pack_lags(row: Any, r: Any, weights: Any) -> None:
    """Compute S of the input and of each lag from Q and K; stack S and V of the lags."""
    S_0, V_0, S, V = weights[0][r], weights[1][r], weights[2][r], weights[3][r]
    H, I = V_0.shape
    n, m = H * I, H * H
    symmetric(row[:n].reshape((H, I)), row[n : 2 * n].reshape((H, I)), S_0)
    V_0[:] = row[2 * n : 3 * n].reshape((H, I))
    start = 3 * n
    for first in range(0, len(V), H):
        Q, K = row[start : start + m], row[start + m : start + 2 * m]
        symmetric(Q.reshape((H, H)), K.reshape((H, H)), S[first : first + H])
        V[first : first + H] = row[start + 2 * m : start + 3 * m].reshape((H, H))
        start += 3 * m


@kernel
def unpack_lags(row: Any, r: Any, gradients: Any, out: Any) -> None:
    """Carry the gradients of S back to Q and K; copy those of V."""
    dS_0, dV_0, dS, dV = gradients[0][r], gradients[1][r], gradients[2][r], gradients[3][r]
    H, I = dV_0.shape
    n, m = H * I, H * H
    from_symmetric(row[:n], row[n : 2 * n], dS_0, out[:n], out[n : 2 * n])
    out[2 * n : 3 * n] = dV_0.reshape(n)
    start = 3 * n
    for first in range(0, len(dV), H):
        k, v, end = start + m, start + 2 * m, start + 3 * m
        from_symmetric(row[start:k], row[k:v], dS[first : first + H], out[start:k], out[k:v])
        out[v:end] = dV[first : first + H].reshape(m)
        start = end


@kernel
def pack_endless(row: Any, r: Any, weights: Any) -> None:
    """Fold the embedding E into the input's weights: EᵀSE and V E; then S and V."""
    A, B, S, V = weights[0][r], weights[1][r], weights[2][r], weights[3][r]
    H, I = B.shape
    n, m = H * I, H * H
    E = row[:n].reshape((H, I))
    symmetric(row[n : n + m].reshape((H, H)), row[n + m : n + 2 * m].reshape((H, H)), S)
    V[:] = row[n + 2 * m : n + 3 * m].reshape((H, H))
    SE = np.zeros_like(B)
    add_matmul(S, E, SE)
    A[:] = 0
    add_matmul(E.T, SE, A)
    B[:] = 0
    add_matmul(V, E, B)


@kernel
def unpack_endless(row: Any, r: Any, gradients: Any, out: Any) -> None:
    """Carry the gradients back through A = EᵀSE and B = V E."""
    dA, dB, dS, dV = gradients[0][r], gradients[1][r], gradients[2][r], gradients[3][r]
    H, I = dB.shape
    n, m = H * I, H * H
    Q, K = row[n : n + m], row[n + m : n + 2 * m]
    E, V = row[:n].reshape((H, I)), row[n + 2 * m : n + 3 * m].reshape((H, H))
    S, SE, EdA = np.zeros_like(dS), np.zeros_like(dB), np.zeros_like(dB)
    symmetric(Q.reshape((H, H)), K.reshape((H, H)), S)
    add_matmul(S, E, SE)
    add_matmul(E, dA, EdA)
    add_matmul(EdA, E.T, dS)  # ∂ℓ/∂S, by way of A too
    add_matmul(dB, E.T, dV)  # ∂ℓ/∂V, by way of B too
    dE = np.zeros_like(dB)
    add_matmul(SE, dA + dA.T, dE)
    add_matmul(V.T, dB, dE)
    out[:n] = dE.reshape(n)
    from_symmetric(Q, K, dS, out[n : n + m], out[n + m : n + 2 * m])
    out[n + 2 * m : n + 3 * m] = dV.reshape(m)


@kernel
def symmetric(Q: Any, K: Any, S: Any) -> None:
    """Write S = QᵀK + KᵀQ, for which (Q h)ᵀ (K h) = ½ hᵀ S h."""
    S[:] = 0
    add_matmul(Q.T, K, S)
    for i in range(len(S)):
        for j in range(i + 1):
            S[i, j] += S[j, i]
            S[j, i] = S[i, j]


@kernel
def from_symmetric(Q: Any, K: Any, dS: Any, dQ: Any, dK: Any) -> None:
    """Write ∂ℓ/∂Q = K (∂ℓ/∂S + ∂ℓ/∂Sᵀ) and ∂ℓ/∂K = Q (∂ℓ/∂S + ∂ℓ/∂Sᵀ).

    Args:
        Q: the queries' matrix ``(H, I)``, flat.
        K: the keys' matrix, likewise.
        dS: ∂ℓ/∂S, ``(I, I)``.
        dQ: output, like Q.
        dK: output, like K.
    """
    I = len(dS)
    shape = (len(Q) // I, I)
    both = dS + dS.T
    dQ[:] = 0
    dK[:] = 0
    add_matmul(K.reshape(shape), both, dQ.reshape(shape))
    add_matmul(Q.reshape(shape), both, dK.reshape(shape))


@kernel
def add_matmul(A: Any, B: Any, out: Any) -> None:
    """Add A B to a matrix; the order of the sums depends on nothing but the shapes."""
    for i in range(A.shape[0]):
        for k in range(A.shape[1]):
            for j in range(B.shape[1]):
                out[i, j] += A[i, k] * B[k, j]
