import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from hw2exp.diagnostics.rank_correlation import rank_correlations


def measures(n):
    generator = np.random.default_rng(1)
    first = generator.standard_normal(n)
    return {
        "first": first,
        "near": first + generator.standard_normal(n),
        "tied": np.round(first),
        "against": -first,
        "infinite": np.where(first > 0.5, math.inf, first),
    }


def test_each_two_are_correlated_as_by_scipy():
    made = measures(30)
    found = rank_correlations(made)
    assert len(found) == 10
    for (one, other), each in found.items():
        expected = spearmanr(made[one], made[other]).statistic
        assert each.value == pytest.approx(expected), (one, other)
        assert each.low - 1e-9 <= each.value <= each.high + 1e-9
    assert found["first", "against"].value == pytest.approx(-1)


def test_the_interval_is_that_of_resampled_arms():
    made = measures(12)
    rows = np.random.default_rng(0).integers(12, size=(9_999, 12))
    correlations = [
        spearmanr(made["first"][own], made["near"][own]).statistic for own in rows[:400]
    ]
    found = rank_correlations(made)["first", "near"]
    low, high = np.quantile(correlations, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.12)


def test_a_resample_in_which_a_measure_is_the_same_everywhere_says_nothing():
    few = np.array([0.0] * 8 + [1.0])
    found = rank_correlations({"few": few, "all": np.arange(9.0)})["few", "all"]
    assert found.value == pytest.approx(spearmanr(few, np.arange(9)).statistic)
    assert math.isfinite(found.low)
    assert found.low <= found.value < found.high < 1
