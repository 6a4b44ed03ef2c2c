import numpy as np
import pytest

from hw2exp.diagnostics.explosions import ExplosionDetector, explosions, preceded
from hw2exp.diagnostics.spikes import running_median


def test_the_running_median_is_of_the_steps_before():
    curves = np.random.default_rng(0).standard_normal((200, 3))
    found = running_median(curves, 51)
    assert np.isnan(found[:25]).all()
    assert np.isfinite(found[25:]).all()
    for step in (25, 60, 199):
        seen = curves[max(0, step - 51) : step]
        np.testing.assert_allclose(found[step], np.median(seen, axis=0))


@pytest.mark.parametrize(("height", "is_one"), [(9.9, False), (10.1, True), (np.inf, True)])
def test_an_explosion_is_ten_times_the_median(height, is_one):
    norms = np.ones((100, 1))
    norms[60] = height
    assert explosions(norms)[60, 0] == is_one
    assert explosions(np.delete(norms, 60, axis=0)).sum() == 0


def test_a_level_that_stays_is_no_explosion():
    norms = np.ones((300, 1))
    norms[100:] = 50
    assert explosions(norms)[100:126].all()
    assert not explosions(norms)[126:].any()


@pytest.mark.parametrize("block", [1, 7, 32, 400])
def test_found_in_blocks_as_at_once(block):
    rng = np.random.default_rng(1)
    norms = np.exp(1.5 * rng.standard_normal((400, 4)))
    norms[300:, 2] = np.nan  # has ended
    norms[200, 1] = np.inf
    detector = ExplosionDetector(4)
    for first in range(0, len(norms), block):
        detector.update(norms[first : first + block])
    whole = explosions(norms)
    assert whole.any(0).all()
    for replica in range(4):
        assert detector.steps(replica) == (np.flatnonzero(whole[:, replica]) + 1).tolist()


def test_a_spike_comes_after_an_explosion_at_most_five_steps_before():
    found = preceded([100, 200, 300, 301], [94, 195, 199, 300, 390], first=26, last=392)
    assert found.after == [False, True, False, True]
    assert (found.explosions, found.followed, found.watched) == (5, 3, 367)
    after = {95, 96, 97, 98, 99, *range(196, 205), *range(301, 306), 391, 392}
    assert found.soon_after == len(after)
    assert found.base == len(after) / 367


def test_a_run_that_ended_before_it_could_spike():
    found = preceded([], [3], first=26, last=10)
    assert (found.watched, found.soon_after, found.base) == (0, 0, 0.0)
