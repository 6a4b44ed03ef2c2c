import numpy as np
import pytest

from hw2exp.diagnostics.explosions import explosions, within
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


def test_within_looks_back_only():
    flags = np.zeros((20, 2), dtype=bool)
    flags[5, 1] = True
    assert np.flatnonzero(within(flags, 3)[:, 1]).tolist() == [6, 7, 8]
    assert not within(flags, 3)[:, 0].any()
    assert within(flags, 100)[6:, 1].all()
