"""exp, tanh and the logistic function of 16 numbers at once, accurate to a few ulp."""

from math import factorial
from typing import Any

from numba import types
from numba.extending import overload

from hw2exp.kernels.lanes import BITS, fma, maximum, minimum, positive, power_of_two
from hw2exp.system.kernel_cache import kernel

TERMS = {types.float32: 7, types.float64: 13}
"""Terms of the series of (eʳ - 1) / r that are needed for |r| <= ln 2 / 2."""

HIGH = {types.float32: 0.693359375, types.float64: 0.6931471803691238}
"""ln 2, truncated so that its product with a small integer is exact (Cody & Waite 1980)."""

LOW = {types.float32: -2.1219444005471377e-4, types.float64: 1.9082149292705877e-10}
"""The rest of ln 2."""

LIMIT = {types.float32: 87.0, types.float64: 708.0}
"""Largest |x| for which eˣ is a normal number."""


def scale_and_rest(x: Any) -> Any:
    """Return 2ⁿ and e^r - 1, with x = n ln 2 + r and |r| <= ln 2 / 2; NaN stays NaN.

    Args:
        x: 16 numbers.
    """
    raise NotImplementedError  # for kernels only


@overload(scale_and_rest)
def _(x: Any) -> Any:
    dtype = x.dtype
    limit, high, low, per_turn = LIMIT[dtype], HIGH[dtype], LOW[dtype], 1.4426950408889634
    # Adding 1.5 · 2^mantissa rounds to an integer and moves it to the last bits.
    rounder = 1.5 * 2.0 ** BITS[dtype][1]
    series = tuple(1 / factorial(n) for n in range(TERMS[dtype], 0, -1))

    def split(x: Any) -> Any:
        x = maximum(minimum(x, limit), -limit)
        rounded = fma(x, per_turn, rounder)
        n = rounded - rounder
        r = fma(n, -low, fma(n, -high, x))
        q = r * 0.0
        for coefficient in series:
            q = fma(q, r, coefficient)
        return power_of_two(rounded), r * q

    return split


@kernel
def exp(x: Any) -> Any:
    """Compute eˣ, clamped to the range of normal numbers."""
    scale, rest = scale_and_rest(x)
    return fma(scale, rest, scale)


def exp_or_zero(x: Any) -> Any:
    """Compute eˣ, or 0 where it is below the normal numbers.

    A share of attention that is not 0 but e⁻⁸⁷ would count where values and gradients are as large
    as in an explosion.

    Args:
        x: 16 numbers.
    """
    raise NotImplementedError  # for kernels only


@overload(exp_or_zero)
def _(x: Any) -> Any:
    limit = LIMIT[x.dtype]

    def compute(x: Any) -> Any:
        return exp(x) * positive(x + limit)

    return compute


@kernel
def tanh(x: Any) -> Any:
    """Compute tanh x = (e²ˣ - 1) / (e²ˣ + 1), with a small relative error also for small x."""
    scale, rest = scale_and_rest(maximum(minimum(x, 20.0), -20.0) * 2.0)
    growth = fma(scale, rest, scale - 1.0)  # e²ˣ - 1
    return growth / (growth + 2.0)


@kernel
def sigmoid(x: Any) -> Any:
    """Compute σ(x) = 1 / (1 + e⁻ˣ)."""
    return 1.0 / (1.0 + exp(x * -1.0))
