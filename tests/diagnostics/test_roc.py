"""ROC analysis against plain computations, and against what is known of made-up scores."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from hw2exp.diagnostics.paired_tests import paired_pvalue
from hw2exp.diagnostics.roc import Scores


def made(shift, runs=20, each=3, seed=0, of_run=0.0):
    """As many events as other moments of each run; the scores of events are higher by a shift."""
    generator = np.random.default_rng(seed)
    events = np.tile([True] * each + [False] * each, runs)
    of = np.repeat(np.arange(runs), 2 * each)
    values = generator.standard_normal(len(of)) + of_run * generator.standard_normal(runs)[of]
    return Scores(values + shift * events, events, of)


def test_the_area_is_mann_and_whitneys():
    scores = made(0.7)
    values = np.round(scores.values, 1)  # with ties
    found = Scores(values, scores.events, scores.runs).area()
    statistic = mannwhitneyu(values[scores.events], values[~scores.events]).statistic
    assert found.value == pytest.approx(statistic / 60**2)
    assert found.low < found.value < found.high


def test_the_area_lies_below_the_curve():
    scores = made(0.7)
    false, true = scores.curve()
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(true, false) == pytest.approx(scores.area().value)
    assert scores.negated().area().value == pytest.approx(1 - scores.area().value)


def test_infinite_scores_are_the_highest():
    events = np.array([True, True, False, False])
    scores = Scores(np.array([np.inf, 2.0, 1.0, -np.inf]), events, np.arange(4) // 2)
    assert scores.area().value == 1
    assert scores.alarms(1000).recall.value == 1


def test_perfect_scores_of_few_runs_leave_room():
    found = made(100.0, runs=5).area()
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(1 / (1 + 1.96**2 / 15), abs=1e-3)  # Wilson's, 15 of 15


def covered(seeds, of_run):
    """How often the interval of the area and the p-value take noise for what it is."""
    within = [made(0.0, runs=12, each=2, seed=seed, of_run=of_run) for seed in range(seeds)]
    areas = [scores.area() for scores in within]
    pvalues = [paired_pvalue(scores.differences()) for scores in within]
    return np.mean([a.low <= 0.5 <= a.high for a in areas]), np.mean(np.array(pvalues) < 0.05)


@pytest.mark.parametrize("of_run", [0.0, 3.0])
def test_noise_is_noise(of_run):
    """Also where runs differ much and their moments little."""
    interval, small = covered(40, of_run)
    assert interval >= 0.9
    assert small <= 0.15  # 0.05, and less than three of its standard errors


def test_a_runs_differences_turn_with_its_events():
    scores = made(0.7)
    assert scores.differences().sum() == pytest.approx((scores.area().value - 0.5) * 60**2)
    turned = np.where(scores.runs < 3, ~scores.events, scores.events)
    found = Scores(scores.values, turned, scores.runs).differences()
    signs = np.where(np.arange(20) < 3, -1, 1)
    np.testing.assert_allclose(found, signs * scores.differences())
    assert paired_pvalue(made(1.0).differences()) < 0.001


def test_differences_are_within_runs():
    """Runs that have more events and higher scores don't tell that events have."""
    events = np.array([True] * 9 + [False, True] + [False] * 9)
    runs = np.repeat([0, 1], 10)
    scores = Scores(10.0 * (runs == 0) + np.ones(20), events, runs)
    assert scores.area().value == pytest.approx(0.9)
    np.testing.assert_array_equal(scores.differences(), [0, 0])


@pytest.mark.parametrize(("others", "k"), [(1, 1), (500, 1), (999, 1), (1998, 1), (1999, 2)])
def test_the_alarm_that_is_false_once_in_a_thousand(others, k):
    values = np.concatenate([np.arange(others, dtype=float), [others - k - 0.5, others - k + 0.5]])
    events = np.arange(len(values)) >= others
    found = Scores(values, events, np.arange(len(values)) % 7).alarms(1000)
    assert found.threshold == others - k
    assert found.recall.value == 0.5
    assert found.false.value == pytest.approx(k / (others + 1))


def test_how_many_alarms_are_false_is_within_its_interval():
    """Of uniform scores the share above a threshold is known."""
    generator = np.random.default_rng(0)
    events = np.arange(41) >= 40
    within = []
    for _ in range(400):
        found = Scores(generator.random(41), events, np.zeros(41, int)).alarms(1000)
        within.append(found.false.low <= 1 - found.threshold <= found.false.high)
    assert 0.92 < np.mean(within) < 0.98
