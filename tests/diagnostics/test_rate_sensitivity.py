import math

import numpy as np
import pytest

from hw2exp.diagnostics.rate_sensitivity import rate_sensitivity


def test_a_case_by_hand():
    """Rates down, seeds across; initial losses near ln 4."""
    losses = [[1.0, 1.3, math.inf], [0.2, 0.1, 2.0], [math.inf, 0.5, 1.5]]
    initial = [[1.4, 1.4, 1.4], [1.4, 1.4, 1.4], [1.4, 1.4, 1.4]]
    # (1.0 + 0.2 + 1.4) / 3 - 0.2; (1.3 + 0.1 + 0.5) / 3 - 0.1; no rate gets below 1.4
    found = rate_sensitivity(losses, initial)
    assert found.tolist() == pytest.approx([2.0 / 3, 1.6 / 3, 0.0], abs=1e-15)


def test_the_order_of_the_rates_and_one_number_added_to_all_losses_change_nothing():
    losses = np.random.default_rng(0).uniform(0, 2, (5, 3))
    initial = np.full((5, 3), 1.4)
    found = rate_sensitivity(losses, initial)
    assert rate_sensitivity(losses[::-1], initial) == pytest.approx(found)
    assert rate_sensitivity(losses + 1, initial + 1) == pytest.approx(found)
    assert (found > 0).all()
