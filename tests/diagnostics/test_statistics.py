import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hw2exp.diagnostics import statistics
from hw2exp.diagnostics.paired_tests import (
    LEAST_SEEDS,
    SIGNIFICANT,
    adjusted,
    mean_difference,
    paired_pvalue,
    paired_pvalues,
    too_few,
)
from hw2exp.diagnostics.shares import newcombe, proportion, proportions_difference, share
from hw2exp.diagnostics.statistics import (
    interquartile_mean,
    mean,
    median,
    quartiles,
    rate,
    spread,
)
from hw2exp.diagnostics.survival import survival

RNG = np.random.default_rng(5)


def covers(estimate, truth):
    return estimate.low <= truth <= estimate.high


def test_wilsons_interval_is_the_textbooks():
    found = share(0, 10)
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(0.2775, abs=1e-4)  # z² / (n + z²)
    found = share(5, 10)
    assert (found.low, found.high) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_a_single_run_has_values_and_no_intervals():
    for found in (rate([3], [1000]), interquartile_mean([0.5]), mean([0.5]), median([0.5])):
        assert found.value in (0.003, 0.5)
        assert math.isnan(found.low)
        assert math.isnan(found.high)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimate", "draw", "truth"),
    [
        (median, lambda: RNG.exponential(size=40), math.log(2)),
        (mean, lambda: RNG.normal(3, 1, size=40), 3),
        (interquartile_mean, lambda: RNG.normal(3, 1, size=40), 3),
        (lambda x: rate(x, np.full(40, 100)), lambda: RNG.poisson(4, size=40), 0.04),
    ],
    ids=["median", "mean", "iqm", "rate"],
)
def test_intervals_cover_as_often_as_they_say(estimate, draw, truth):
    covered = sum(covers(estimate(draw()), truth) for _ in range(200))
    assert 178 <= covered <= 200  # 190 expected, of deviation 3


def test_the_rate_weighs_runs_by_what_was_seen_of_them():
    found = rate([10, 0], [100, 900])
    assert found.value == 0.01
    assert rate([3, 3], [100, 100]).value == rate([3], [100]).value == 0.03


@given(
    st.lists(st.floats(0, 100), min_size=8, max_size=30),
    st.integers(0, 8),
)
@example([0.0] * 3 + [1.0] * 3 + [5e-324] * 2, 0)
@settings(max_examples=60)
def test_infinite_values_are_the_largest(values, diverged):
    among = [*values, *[math.inf] * diverged]
    found = median(among)
    assert found.value == np.median(among)
    assert found.low <= found.value <= found.high
    large = median([*values, *[1e6] * diverged])
    assert found.low == large.low or math.isinf(found.low)
    middle = interquartile_mean(among)
    assert not math.isnan(middle.low)
    assert middle.low <= middle.high


def test_one_value_has_no_interval():
    assert median([2.0]).value == 2
    assert math.isnan(median([2.0]).low)
    assert math.isnan(median([]).value)
    assert math.isnan(mean([]).value)
    assert math.isnan(share(0, 0).value)


def test_survival_of_runs_that_all_solve_is_what_is_left():
    found = survival([10, 20, 30, 40], [True] * 4)
    assert found.times.tolist() == [10, 20, 30, 40]
    assert found.share.tolist() == [0.75, 0.5, 0.25, 0]
    assert found.median().value == 20


def test_unsolved_runs_count():
    """A textbook's example: 6-MP against placebo, the treated (Freireich et al. 1963)."""
    times = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
    relapse = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    found = survival(times, relapse)
    at = dict(zip(found.times, found.share, strict=True))
    expected = {6: 0.8571, 7: 0.8067, 10: 0.7529, 13: 0.6902, 16: 0.6275, 22: 0.5378, 23: 0.4482}
    assert {time: round(at[time], 4) for time in expected} == expected
    assert found.median().value == 23
    assert (found.low <= found.share).all()
    assert (found.share <= found.high).all()


def test_if_none_solves_the_median_is_never():
    assert survival([100, 100], [False, False]).median().value == math.inf


def test_the_paired_test():
    rng = np.random.default_rng(1)
    assert paired_pvalue(rng.standard_normal(16)) > 0.05
    assert paired_pvalue(rng.standard_normal(16) - 3) < 0.001
    assert paired_pvalue(rng.standard_normal(16) - 3, "greater") > 0.99
    assert paired_pvalue(np.zeros(16)) == 1


def test_p_values_of_several_comparisons():
    assert adjusted([0.01, 0.02, 0.04]) == pytest.approx([0.03, 0.03, 0.04])
    assert adjusted([]) == []


def test_the_same_runs_give_the_same_numbers():
    values = RNG.exponential(size=20)
    assert interquartile_mean(values) == interquartile_mean(values)
    assert paired_pvalue(values - 1) == paired_pvalue(values - 1)


@pytest.mark.parametrize("seeds", range(2, 9))
def test_too_few_seeds_are_those_whose_clearest_difference_decides_nothing(seeds):
    clearest = paired_pvalue(np.full(seeds, 7.0))
    assert clearest == 2 / 2**seeds
    assert bool(too_few([seeds, 64])) == (clearest >= SIGNIFICANT) == (seeds < LEAST_SEEDS)
    if text := too_few([seeds, 64]):
        assert text == "1 comparison of 2 with too few seeds for a p-value below 0.05: it takes 6"


def test_a_mean_of_rounding_errors_is_zero():
    found = mean_difference([0.1 + 0.2, -0.3, 0.0, 1.0, -1.0], 1.0)
    assert found.value == 0
    assert found.low < 0 < found.high


@pytest.mark.parametrize("estimate", [median, mean, interquartile_mean, paired_pvalue])
def test_what_is_not_a_number_is_refused(estimate):
    with pytest.raises(ValueError, match="NaN"):
        estimate([1.0, math.nan, 2.0, 3.0])


def test_of_one_difference_nothing_can_be_said():
    assert paired_pvalue([3.0]) == 1


def test_of_no_event_the_rate_has_an_upper_end():
    """Poisson's exact interval of none: −ln 0.025 = 3.69 events; the rule of three is near it."""
    found = rate(np.zeros(64), np.full(64, 2.0))
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(-math.log(0.025) / 128)
    lone = rate([1] + [0] * 63, np.full(64, 2.0))
    assert (lone.low, lone.high) == (0, pytest.approx(5.572 / 128, abs=1e-4))


@pytest.mark.slow
def test_a_rate_of_few_events_covers_as_often_as_it_says():
    """A bootstrap alone covers some 85 of 100 here."""
    draws = RNG.poisson(0.05, size=(200, 64))
    assert sum(covers(rate(draw, np.ones(64)), 0.05) for draw in draws) >= 188


def test_a_share_of_events_that_are_all_alike_has_an_interval():
    found = proportion([2, 4, 0], [2, 4, 0])
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(share(6, 6).low)
    clustered = proportion([9, 0] * 8, [9, 9] * 8)  # all or none of a run: runs are what counts
    assert clustered.high - clustered.low > 1.8 * (share(72, 144).high - share(72, 144).low)
    assert math.isnan(proportion([1], [2]).low)


def test_a_share_net_of_others_is_their_difference():
    found = proportion([3, 4, 0], [4, 4, 2], less=[1, 0, 2])
    assert found.value == pytest.approx(0.4)
    assert found.low < 0.4 < found.high
    same = proportion([2, 1], [4, 4], less=[2, 1])  # in all runs alike: no resample differs
    assert same.value == 0
    assert same.high - same.low == pytest.approx(share(3, 8).high - share(3, 8).low)
    assert math.isnan(proportion([0, 0], [0, 0]).value)


def test_the_difference_of_shares_is_newcombes():
    """His example (1998, table II, a): 56 of 70 against 48 of 80, by method 10."""
    found = newcombe(share(56, 70), share(48, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    alike = proportions_difference(([5, 5], [5, 5]), ([0, 0], [5, 5]))  # no resample differs
    assert alike == newcombe(share(10, 10), share(0, 10))


@pytest.mark.slow
@pytest.mark.parametrize("sign", [1, -1])
def test_the_difference_of_shares_of_the_same_runs_covers_as_often_as_it_says(sign):
    rng = np.random.default_rng(6)

    def estimate():
        luck = rng.uniform(-0.45, 0.45, 24)
        totals = rng.poisson(4, 24) + 1
        counts = [rng.binomial(totals, 0.5 + each) for each in (luck, sign * luck)]
        return proportions_difference(*((each, totals) for each in counts))

    assert np.mean([covers(estimate(), 0.0) for _ in range(150)]) > 0.9


def test_pairs_that_do_not_differ_leave_room_for_some_that_do():
    found = mean_difference(np.zeros(64), 0.5)
    assert found.value == 0
    assert found.high == -found.low == pytest.approx(0.5 * share(0, 64).high)
    assert mean_difference([1.0, -1, 2, 0], 0.5) == mean([1.0, -1, 2, 0])


@pytest.mark.slow
def test_a_lone_effect_among_many_comparisons_is_found():
    rng = np.random.default_rng(4)
    effect = rng.normal(3, 1, size=64)
    nothing = [rng.standard_normal(64) for _ in range(999)]
    corrected = adjusted(paired_pvalues([effect, *nothing]))
    assert corrected[0] < 0.01
    assert min(corrected[1:]) > 0.05


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
@pytest.mark.parametrize("seeds", [5, 12, 30])
def test_turning_signs_gives_scipys_p_value(alternative, seeds):
    from scipy.stats import permutation_test

    values = np.random.default_rng(seeds).normal(0.4, 1, seeds).round(1)  # with ties
    expected = permutation_test(
        (values, np.zeros(seeds)), lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples", vectorized=True, n_resamples=20_000, alternative=alternative,
        rng=np.random.default_rng(1),
    ).pvalue  # fmt: skip
    exact = 2**seeds <= 20_000
    found = paired_pvalue(values, alternative)
    assert found == pytest.approx(expected, abs=1e-12 if exact else 0.015)


def test_quartiles_of_what_is_there():
    values = np.random.default_rng(0).normal(size=(50, 9))
    values[np.random.default_rng(1).random(values.shape) < 0.4] = np.nan
    values[0, 1:] = np.nan
    low, middle, high = quartiles(values)
    for place, row in enumerate(values):
        known = row[~np.isnan(row)]
        ends = np.quantile(known, [0.25, 0.75], method="inverted_cdf")
        assert [low[place], high[place]] == ends.tolist()
        assert middle[place] == np.median(known) == median(known).value
    assert np.isnan(quartiles(np.full((2, 3), np.nan))).all()
    assert quartiles([1.0, math.inf, math.inf, 2.0]).tolist() == [1, math.inf, math.inf]
    np.testing.assert_array_equal(quartiles(values.T, axis=0), [low, middle, high])


def test_every_table_writes_the_same_median():
    from hw2exp.sweeps.arm_events import quartiles as of_tensorboard

    values = [1.0, 2.0, 4.0, math.inf]
    assert spread(values) == "3 [1, 4]"
    assert median(values).value == of_tensorboard(np.array([values]))[1, 0] == 3


@pytest.mark.nightly
@pytest.mark.parametrize("most", [1, 31 * 1000])
def test_resamples_in_blocks_are_those_at_once(monkeypatch, most):
    """Memory is bounded however many runs there are."""
    events, losses = np.arange(31) % 5, np.random.default_rng(2).lognormal(size=31)
    monkeypatch.setattr(statistics, "RESAMPLES", 2_500)
    at_once = rate(events, np.full(31, 150)), interquartile_mean(losses)
    monkeypatch.setattr(statistics, "MOST", most)
    assert (rate(events, np.full(31, 150)), interquartile_mean(losses)) == at_once
