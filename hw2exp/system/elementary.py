"""exp, log, cos πx and powers of a number in float64, by + - * / and bits.

The machine's own functions round differently from one kind of CPU and one version of the C library
to the next. These give the same bits on all. The error is at most 2 units in the last place, of a
power n of them.
"""

from math import factorial, pi
from typing import Any

import numpy as np

from hw2exp.system.kernel_cache import kernel

PER_TURN = 1.4426950408889634
"""1 / ln 2."""

HIGH, LOW = 0.6931471803691238, 1.9082149292705877e-10
"""ln 2 in two parts: the product of the first with a small integer is exact (Cody & Waite 1980)."""

ROUNDER = 1.5 * 2.0**52
"""Added and subtracted again, it rounds to an integer."""

GROWTH = tuple(1 / factorial(n) for n in range(13, 0, -1))
"""The series of (eʳ - 1) / r, highest power first, for |r| <= ln 2 / 2."""

COSINE = tuple((-1) ** n / factorial(2 * n) for n in range(8, 0, -1))
"""The series of (cos y - 1) / y² in y², for |y| <= π/4."""

SINE = tuple((-1) ** n / factorial(2 * n + 1) for n in range(8, 0, -1))
"""The series of (sin y / y - 1) / y² in y², for |y| <= π/4."""

# (log (1 + s) - log (1 - s)) / s - 2 in powers of s², a fit by Sun's fdlibm (1993), e_log.c.
LOGARITHM = (
    1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01,
    2.222219843214978396e-01, 2.857142874366239149e-01, 3.999999999940941908e-01,
    6.666666666666735130e-01,
)  # fmt: skip

MANTISSA, BIAS = 52, 1023
FRACTION, ONE = (1 << MANTISSA) - 1, BIAS << MANTISSA


@kernel
def exp(x: Any) -> Any:
    """Compute eˣ, clamped to the range of normal numbers."""
    x = -708.0 if x < -708.0 else x
    x = 709.0 if x > 709.0 else x
    shifted = np.float64(x * PER_TURN + ROUNDER)  # its last bits are n
    n = shifted - ROUNDER
    r = (x - n * HIGH) - n * LOW
    scale = np.int64((shifted.view(np.int64) + BIAS) << MANTISSA).view(np.float64)  # 2ⁿ
    return scale + scale * (r * _series(GROWTH, r))


@kernel
def log(x: Any) -> Any:
    """Compute the logarithm of a positive normal number; NaN stays NaN."""
    bits = np.float64(x).view(np.int64)
    n, m = (bits >> MANTISSA) - BIAS, np.int64(bits & FRACTION | ONE).view(np.float64)  # x = m 2ⁿ
    high = m > 1.4142135623730951
    n, f = (n + 1 if high else n), (0.5 * m if high else m) - 1.0
    s = f / (2.0 + f)
    z, half = s * s, 0.5 * f * f
    rest = half - (s * (half + z * _series(LOGARITHM, z)) + n * LOW)
    return n * HIGH - (rest - f) if x == x else x


@kernel
def cos_pi(x: Any) -> Any:
    """Compute cos πx for |x| <= 1."""
    x = abs(x)
    sign = 1.0
    if x > 0.5:
        x, sign = 1.0 - x, -1.0
    if x > 0.25:
        y = pi * (0.5 - x)
        return sign * (y + y * (y * y * _series(SINE, y * y)))
    y = pi * x
    return sign * (1.0 + y * y * _series(COSINE, y * y))


@kernel
def power(base: Any, n: Any) -> Any:
    """Compute the power of a number to an integer n >= 0, by squaring."""
    left, result = np.int64(n), 1.0
    while left > 0:
        if left & 1:
            result *= base
        base *= base
        left >>= 1
    return result


@kernel
def _series(coefficients: Any, x: Any) -> Any:
    total = 0.0
    for coefficient in coefficients:
        total = total * x + coefficient
    return total


@kernel
def cosines(x: Any) -> Any:
    """Compute cos πx of each number of an array ``(n,)``."""
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = cos_pi(x[i])
    return out


@kernel
def powers(base: Any, n: Any) -> Any:
    """Compute the power of each number of an array ``(n,)``."""
    out = np.empty_like(base)
    for i in range(len(base)):
        out[i] = power(base[i], n[i])
    return out
