import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hw2exp.kernels.products import add_outer, add_product, dot, product

sizes = st.integers(1, 9)


@given(J=sizes, K=sizes, row=st.integers(0, 3), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_product(J, K, row, seed):
    draw = np.random.default_rng(seed).standard_normal
    W, v, out = draw((J, K)), draw((row + K, 16)), draw((row + J, 16))
    expected = out.copy()
    expected[row:] = W @ v[row:]
    product(W, v, row, out, row)
    np.testing.assert_allclose(out, expected, atol=1e-13)
    add_product(W, v, row, out, row)
    expected[row:] *= 2
    np.testing.assert_allclose(out, expected, atol=1e-13)


@given(J=sizes, K=sizes, steps=st.integers(0, 4), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_outer(J, K, steps, seed):
    draw = np.random.default_rng(seed).standard_normal
    a, b, out = draw((steps + 1, J, 16)), draw((steps + 1, K, 16)), draw((J, K))
    expected = out + np.einsum("tjb,tkb->jk", a[:steps], b[:steps])
    add_outer(a, 0, b, 0, steps, out)
    np.testing.assert_allclose(out, expected, atol=1e-12)


def test_dot():
    from numba import njit

    from hw2exp.kernels.lanes import store

    @njit
    def run(a, b, out):
        store(out, 0, dot(a, 1, b, 0, 2))

    draw = np.random.default_rng(0).standard_normal
    a, b, out = draw((3, 16)), draw((2, 16)), np.empty((1, 16))
    run(a, b, out)
    np.testing.assert_allclose(out[0], (a[1:] * b).sum(0))
