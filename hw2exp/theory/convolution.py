"""Compute a convolution, and its derivatives in closed form (write-up, part 1.1).

In part (c), a convolution with stride S has filters W ``(F, C, K)``, an input x ``(C, L)``, and an
output f ``(F, N)``. ``upstream``, ``(F, N)``, is the derivative of the loss with respect to f.
"""

import torch
from torch import Tensor

Pair = int | tuple[int, int]


def output_size(
    size: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """Return the length of a convolution's output along one axis (part 1.1 b).

    It is ⌊(H + 2P − D(K − 1) − 1) / S⌋ + 1; the write-up lacks the floor.

    Args:
        size: H, the length of the input.
        kernel: K, the length of the kernel.
        stride: S.
        padding: P, the number of zeros at each end.
        dilation: D, the distance between the kernel's elements.

    Raises:
        ValueError: a size is impossible, or the kernel is longer than the padded input.
    """
    for name, value, least in (
        ("size", size, 1),
        ("kernel", kernel, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
        ("dilation", dilation, 1),
    ):
        if value < least:
            raise ValueError(f"{name}={value}: must be at least {least}")
    reach, padded = dilation * (kernel - 1) + 1, size + 2 * padding
    if reach > padded:
        raise ValueError(
            f"kernel={kernel}: with dilation {dilation} it spans {reach}, "
            f"and the padded input is {padded} long"
        )
    return (padded - reach) // stride + 1


def output_shape(
    shape: tuple[int, int, int],
    filters: int,
    kernel: Pair,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> tuple[int, int, int]:
    """Return the shape F × H_out × W_out of a convolution's output (part 1.1 b).

    Args:
        shape: the shape of the input, C × H × W; every filter sums over C.
        filters: F.
        kernel: K, an int for both axes or a pair.
        stride: S, likewise.
        padding: P, likewise.
        dilation: D, likewise.

    Raises:
        ValueError: a size is impossible, or the kernel is longer than the padded input.
    """
    channels, *sizes = shape
    for name, value in (("channels", channels), ("filters", filters)):
        if value < 1:
            raise ValueError(f"{name}={value}: must be at least 1")
    k, s, p, d = (
        value if isinstance(value, tuple) else (value, value)
        for value in (kernel, stride, padding, dilation)
    )
    height, width = (
        output_size(sizes[axis], k[axis], stride=s[axis], padding=p[axis], dilation=d[axis])
        for axis in (0, 1)
    )
    return filters, height, width


def forward(W: Tensor, x: Tensor, stride: int) -> Tensor:
    """Return the convolution f[f, i] = Σ_m Σ_n W[f, m, n] x[m, S i + n] (part 1.1 c i).

    Returns:
        ``(F, N)``.
    """
    return torch.einsum("fmn,min->fi", W, _windows(W, x, stride))


def weight_jacobian(W: Tensor, x: Tensor, stride: int) -> Tensor:
    """Return ∂f[f, i]/∂W[g, m, n] = x[m, S i + n] where f = g, else 0 (part 1.1 c ii).

    Returns:
        ``(F, N, F, C, K)``.
    """
    own = torch.eye(len(W), dtype=x.dtype)  # (F, F)
    return torch.einsum("fg,min->figmn", own, _windows(W, x, stride))


def input_jacobian(W: Tensor, x: Tensor, stride: int) -> Tensor:
    """Return ∂f[f, i]/∂x[m, p] = W[f, m, p − S i] where 0 ≤ p − S i < K, else 0 (part 1.1 c iii).

    Returns:
        ``(F, N, C, L)``.
    """
    (filters, channels, kernel), length = W.shape, x.shape[1]
    positions = output_size(length, kernel, stride=stride)
    jacobian = W.new_zeros(filters, positions, channels, length)
    for i in range(positions):
        jacobian[:, i, :, stride * i : stride * i + kernel] = W
    return jacobian


def weight_gradient(W: Tensor, x: Tensor, stride: int, upstream: Tensor) -> Tensor:
    """Return ∂ℓ/∂W[f, m, n] = Σ_i ∂ℓ/∂f[f, i] x[m, S i + n] (part 1.1 c iv).

    Returns:
        ``(F, C, K)``.
    """
    return torch.einsum("fi,min->fmn", upstream, _windows(W, x, stride))


def _windows(W: Tensor, x: Tensor, stride: int) -> Tensor:
    """Return the window of the input at each position, ``(C, N, K)``: x[m, S i + n]."""
    kernel = W.shape[2]
    output_size(x.shape[1], kernel, stride=stride)  # raises for impossible sizes
    return x.unfold(1, kernel, stride)
