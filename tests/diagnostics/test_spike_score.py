"""The spike score equals a plain loop of its definition."""

import numpy as np
import pytest

from hw2exp.diagnostics.spike_score import LEAST, WINDOW, SpikeScore, spike_score


def plain(values, log_every=1):
    """The definition, value by value."""
    window = WINDOW // log_every
    outliers = judged = 0
    for place, value in enumerate(values):
        before = np.asarray(values[max(place - window, 0) : place])
        if not np.isfinite(value):
            break
        if len(before) < max(LEAST, window / 10) or window < LEAST:
            continue
        judged += 1
        far = abs(value - before.mean())
        outliers += bool(far >= 7 * before.std() and far > 1e-12)
    return SpikeScore(outliers, judged)


def curve(seed, n=2_500):
    """A falling, noisy loss with spikes of all heights, up and down."""
    generator = np.random.default_rng(seed)
    values = 1.4 * np.exp(-np.arange(n) / 700) + 0.02 * generator.standard_normal(n)
    places = generator.integers(n, size=30)
    values[places] += generator.choice([-0.3, 0.13, 0.15, 0.17, 0.2, 1.0, 1e7], size=30)
    return values


@pytest.mark.parametrize("log_every", [1, 3, 10, 50])
@pytest.mark.parametrize("seed", range(3))
def test_it_equals_a_plain_loop(seed, log_every):
    values = curve(seed)[::log_every]
    expected = plain(values, log_every)
    assert spike_score(values, log_every) == expected
    assert log_every > 1 or 0 < expected.outliers < expected.judged


def test_which_values_are_judged():
    ones = np.ones(1_500)
    assert spike_score(ones) == SpikeScore(0, 1_400)  # a tenth of the window goes before
    assert spike_score(ones[:150], 10) == SpikeScore(0, 130)  # LEAST values go before
    assert spike_score(ones[:100]) == SpikeScore(0, 0)
    assert spike_score(ones, 51) == SpikeScore(0, 0)  # a window of 19 values
    assert spike_score(ones[:100]).share is None
    assert spike_score([]) == SpikeScore(0, 0)


def test_what_differs_from_equal_values_is_an_outlier_and_rounding_is_not():
    values = np.full(1_500, 0.1)
    values[1_000] = 0.1001
    assert spike_score(values) == SpikeScore(1, 1_400)


def test_a_value_that_is_not_finite_ends_the_curve():
    values = curve(0)
    for lost in (np.nan, np.inf):
        values[700] = lost
        assert spike_score(values) == spike_score(values[:700]) == plain(values)


def test_a_value_that_left_the_window_leaves_no_trace():
    """A running sum of squares would keep one, of 1e20."""
    generator = np.random.default_rng(0)
    values = 1 + 1e-3 * generator.standard_normal(3_000)
    values[200] = 1e10
    values[300] = 1e300
    values[2_500] = 1.02
    assert spike_score(values) == SpikeScore(3, 2_900)
