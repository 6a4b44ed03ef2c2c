import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw2exp.diagnostics.spikes import GAP, SpikeDetector, deviations_above, find_spikes

LN4 = math.log(4)


def spikes(curve, **changes):
    return find_spikes(curve, **{
        "window": 51, "margin": 0.3, "deviations": 6.0, "initial_loss": LN4, **changes
    })  # fmt: skip


def noisy(level, steps=3000, deviation=0.05, seed=0):
    return level + deviation * np.random.default_rng(seed).standard_normal(steps)


@pytest.mark.parametrize("seed", range(10))
def test_batch_noise_is_no_spike(seed):
    assert spikes(noisy(LN4, seed=seed)) == []
    assert spikes(np.abs(noisy(0.4, deviation=0.12, seed=seed))) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_falling_curve_has_no_spike(seed):
    fall = LN4 / (1 + np.exp((np.arange(3000) - 1000) / 50))
    assert spikes(np.abs(fall + noisy(0, deviation=0.08, seed=seed))) == []


def test_a_single_step():
    curve = noisy(0.2)
    curve[1499] = 4.0
    (spike,) = spikes(curve)
    assert (spike.start, spike.step, spike.end) == (1500, 1500, 1500)
    assert spike.loss == 4.0
    assert spike.median == np.median(curve[1448:1499])
    assert spike.above_initial


def test_what_is_a_spike_is_that_many_deviations_above():
    curve = np.random.default_rng(3).standard_cauchy(400)
    above = deviations_above(curve, 51)
    assert np.isnan(above[:25]).all()
    found = spikes(curve, margin=1e-12, deviations=8.0)
    high = np.flatnonzero(above > 8) + 1
    assert len(found) > 3
    assert {step for s in found for step in (s.start, s.end)} <= set(high)
    assert all(any(s.start <= step <= s.end for s in found) for step in high)


def test_a_wide_spike_has_its_peak_where_the_loss_is_largest():
    curve = noisy(0.2, deviation=0.01)
    curve[1000:1010] += [1, 2, 3, 4, 9, 4, 3, 2, 1, 0.5]
    (spike,) = spikes(curve)
    assert (spike.start, spike.step, spike.end) == (1001, 1005, 1010)


@pytest.mark.parametrize(("apart", "count"), [(GAP, 1), (GAP + 1, 2), (100, 2)])
def test_close_spikes_are_one(apart, count):
    curve = np.full(500, 0.5)
    curve[200] = curve[201 + apart] = 3.0
    assert len(spikes(curve)) == count


def test_a_plateau_above_is_one_spike_that_ends():
    curve = noisy(0.2, deviation=0.01)
    curve[1000:] += 1.0
    (spike,) = spikes(curve)
    assert spike.start == 1001
    assert 1001 + 51 // 2 - 1 <= spike.end <= 1001 + 51 // 2 + 1


def test_a_spike_below_the_initial_loss_says_so():
    curve = noisy(0.1, deviation=0.01)
    curve[700] = 1.0
    (spike,) = spikes(curve)
    assert not spike.above_initial


def test_the_margin_grows_with_the_noise():
    curve = noisy(1.0, deviation=0.5)
    assert spikes(curve, deviations=6.0) == []
    assert spikes(curve, deviations=0.0) != []


@pytest.mark.parametrize("end", [np.nan, np.inf])
def test_divergence_ends_the_curve_and_is_no_spike(end):
    curve = noisy(0.5, deviation=0.01, steps=200)
    curve[100:103] = [2.0, 50.0, 1e6]
    curve[103] = end
    (spike,) = spikes(curve)
    assert (spike.start, spike.step, spike.end) == (101, 103, 103)
    curve[150] = 99.0
    assert spikes(curve) == [spike]
    curve[100:103] = 0.5
    assert spikes(curve) == []


def test_no_spike_before_half_a_window_was_seen():
    curve = np.full(60, 1.0)
    curve[24] = 9.0
    assert spikes(curve) == []
    curve[24], curve[25] = 1.0, 9.0
    assert [spike.step for spike in spikes(curve)] == [26]
    assert spikes(curve[:3]) == []
    assert spikes(curve[:0]) == []


def test_a_large_block_is_searched_in_parts(monkeypatch):
    """The windows of a whole curve, or of many runs, would not fit into memory."""
    curve = noisy(0.4)
    curve[[*range(200, 3000, 300), -1]] += 2
    whole = spikes(curve)
    monkeypatch.setattr("hw2exp.diagnostics.spikes.MOST", 51 * 7)
    assert spikes(curve) == whole
    assert len(whole) == 11


def test_an_empty_block_changes_nothing():
    one = np.array([0.3]), np.array([6.0]), np.array([LN4])
    detector = SpikeDetector(51, *one)
    curve = noisy(0.2)
    curve[100] = 4.0
    for block in (curve[:0], curve[:101], curve[:0], curve[101:]):
        detector.update(block[:, None])
    assert detector.spikes(0) == spikes(curve)
    assert detector.counts().tolist() == [1]


@given(st.data())
@settings(max_examples=60)
def test_blocks_and_neighbours_change_nothing(data):
    replicas, steps = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 120))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    curves = generator.standard_normal((steps, replicas)) * 0.1 + 1
    curves[generator.random(curves.shape) < 0.05] = 5.0
    curves[generator.random(curves.shape) < 0.005] = np.nan
    margin = np.linspace(0.1, 0.6, replicas)
    detector = SpikeDetector(11, margin, np.full(replicas, 3.0), np.full(replicas, LN4))
    at = 0
    while at < steps:
        size = data.draw(st.integers(1, 40))
        detector.update(curves[at : at + size])
        at += size
    for r in range(replicas):
        alone = spikes(curves[:, r], window=11, margin=margin[r], deviations=3.0)
        assert detector.spikes(r) == alone
    assert detector.counts().tolist() == [len(detector.spikes(r)) for r in range(replicas)]
