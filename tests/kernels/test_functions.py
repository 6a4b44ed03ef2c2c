"""exp, tanh and sigmoid of the kernels against NumPy in extended precision."""

import numba
import numpy as np
import pytest

from hw2exp.kernels import functions
from hw2exp.kernels.lanes import fma, load, positive, store, total


def apply(function, x):
    @numba.njit
    def rows(x, out):
        for row in range(len(x)):
            store(out, row, function(load(x, row)))

    out = np.empty_like(x)
    rows(x, out)
    return out


def logistic(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("function", "exact", "reach"),
    [
        (functions.exp, np.exp, 85),
        (functions.tanh, np.tanh, 25),
        (functions.tanh, np.tanh, 1e-3),  # exact in relation to the value, near 0 too
        (functions.sigmoid, logistic, 80),
    ],
)
def test_a_few_units_in_the_last_place(dtype, function, exact, reach):
    x = np.random.default_rng(0).uniform(-reach, reach, (2000, 16)).astype(dtype)
    truth = exact(x.astype(np.longdouble))
    error = np.abs((apply(function, x) - truth) / truth).max()
    assert error < 3 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_finite(dtype):
    x = np.zeros((1, 16), dtype)
    x[0, :4] = np.nan, np.inf, -np.inf, -0.0
    tanh, sigmoid, exp = (
        apply(f, x)[0] for f in (functions.tanh, functions.sigmoid, functions.exp)
    )
    for values in (tanh, sigmoid, exp):
        assert np.isnan(values[0])
        assert np.isfinite(values[1:]).all()
    assert tanh[1:4].tolist() == [1, -1, 0]
    assert sigmoid[1] == 1
    assert sigmoid[2] < 1e-37
    assert sigmoid[3] == 0.5
    assert exp[1] > 1e37
    assert exp[2] < 1e-37
    assert exp[4] == 1
    assert apply(positive, x)[0, :4].tolist() == [1, 1, 0, 0]  # NaN passes on, as torch's ReLU


def test_a_product_and_a_sum_are_fused_only_where_that_is_asked_for():
    """x² - [x²] is 0 with two roundings; with one it is the error of the rounded square."""
    x = np.full((1, 16), 1 + 2**-20, np.float32)
    square = float(x[0, 0] * x[0, 0])

    @numba.njit
    def apart(x):
        return x * x - square

    @numba.njit
    def fused(x):
        return fma(x, x, -square)

    assert not apply(apart, x).any()
    assert (apply(fused, x) == 2.0**-40).all()


def test_total():
    @numba.njit
    def sums(x, out):
        for row in range(len(x)):
            out[row] = total(load(x, row))

    x = np.arange(48.0).reshape(3, 16)
    out = np.empty(3)
    sums(x, out)
    assert out.tolist() == x.sum(1).tolist()
