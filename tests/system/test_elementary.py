"""exp, log, cos πx and powers against NumPy in extended precision."""

import numba
import numpy as np
import pytest

from hw2exp.system import elementary

PI = np.longdouble("3.14159265358979323846264338327950288")


def apply(function, x):
    @numba.njit
    def each(x, out):
        for i in range(len(x)):
            out[i] = function(x[i])

    out = np.empty_like(x)
    each(x, out)
    return out


def units(found, exact):
    """The largest error in units of the last place."""
    return float(np.abs((found - exact) / np.spacing(np.abs(exact.astype(np.float64)))).max())


@pytest.mark.parametrize("reach", [708, 1, 1e-6])
def test_exp(reach):
    x = np.random.default_rng(0).uniform(-reach, reach, 20_000)
    assert units(apply(elementary.exp, x), np.exp(x.astype(np.longdouble))) < 2


@pytest.mark.parametrize("reach", [700, 1, 1e-3])
def test_log(reach):
    x = np.exp(np.random.default_rng(0).uniform(-reach, reach, 20_000))
    assert units(apply(elementary.log, x), np.log(x.astype(np.longdouble))) < 2


def test_cos_pi():
    x = np.random.default_rng(0).uniform(-1, 1, 20_000)
    exact = np.sin(PI * (np.longdouble(0.5) - np.abs(x.astype(np.longdouble))))
    assert units(apply(elementary.cos_pi, x), exact) < 2
    ends = np.array([0, 0.5, -0.5, 1, -1])
    assert elementary.cosines(ends).tolist() == [1, 0, 0, -1, -1]


def test_power():
    base, n = np.array([0.999, 0.9, 0.0, 0.0, 1.0, 0.3]), np.array([1000, 12, 0, 3, 10**9, 1])
    assert elementary.powers(base, n) == pytest.approx(base**n, rel=1e-13)
    assert elementary.powers(base, n.astype(float)).tolist() == elementary.powers(base, n).tolist()


def test_what_is_not_finite():
    x = np.array([np.nan, np.inf, -np.inf, 0.0])
    exp = apply(elementary.exp, x)
    assert np.isnan(exp[0])
    assert exp[1] > 1e307
    assert 0 < exp[2] < 1e-307
    assert exp[3] == 1
    assert np.isnan(elementary.log(np.nan))
    assert elementary.log(1.0) == 0
