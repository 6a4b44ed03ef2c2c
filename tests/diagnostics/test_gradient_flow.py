import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw2exp.diagnostics.gradient_flow import fitted_factors, growth


def test_a_flow_that_grows_by_a_factor_with_every_step_back():
    t = np.arange(1, 42)
    flow = np.stack([0.3 * 1.2 ** (41 - t), 5 * 0.7 ** (41 - t), np.ones(41)])
    factor, r2 = growth(flow)
    np.testing.assert_allclose(factor, [1.2, 0.7, 1], rtol=1e-12)
    np.testing.assert_allclose(r2[:2], 1, rtol=1e-12)
    assert np.isnan(r2[2])  # what doesn't vary has nothing to explain


@given(st.lists(st.floats(-30, 30), min_size=3, max_size=40), st.integers(0, 2**10))
def test_the_line_is_that_of_numpy(values, holes):
    row = np.array(values)
    row[[place for place in range(len(row)) if holes >> place & 1 and len(row) > 13]] = np.nan
    known = np.isfinite(row)
    places = np.arange(len(row))[known]
    factor, r2 = fitted_factors(row[None])
    slope = np.polyfit(places, row[known], 1)[0]
    np.testing.assert_allclose(np.log(factor[0]), slope, atol=1e-9)
    if row[known].std() > 1e-6:
        expected = np.corrcoef(places, row[known])[0, 1] ** 2
        np.testing.assert_allclose(r2[0], expected, atol=1e-9)


@pytest.mark.parametrize("gone", [0.0, np.inf, np.nan])
def test_steps_where_nothing_finite_flows_are_left_out(gone):
    flow = 2.0 ** -np.arange(10)[None, ::-1]
    flow[0, [2, 5]] = gone
    np.testing.assert_allclose(growth(flow)[0], 0.5)
    assert np.isnan(growth(np.full((1, 10), gone))[0])


def test_a_row_has_the_same_bits_alone_and_among_others():
    rows = np.random.default_rng(0).normal(size=(7, 41)).cumsum(1)
    together = fitted_factors(rows)
    for place in range(7):
        alone = fitted_factors(rows[place : place + 1])
        assert [each[0] for each in alone] == [each[place] for each in together]
