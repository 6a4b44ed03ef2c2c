"""A curve in one line keeps its ends, its spikes, and what is not finite."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw2exp.runs.sparkline import ASCII, BLOCKS, Peaks, sparkline

FLOATS = st.floats()  # the infinite ones and NaN too
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(FLOATS), st.integers(-1, 50), st.booleans())
def test_it_is_as_wide_as_there_are_values_and_never_wider(values, width, log):
    drawn = sparkline(values, width, log)
    assert len(drawn) == min(len(values), max(width, 0))
    assert set(drawn) <= set(BLOCKS)


@given(st.lists(FINITE, min_size=2).filter(lambda values: min(values) < max(values)))
def test_the_ends_are_the_lowest_and_the_highest_block(values):
    drawn = sparkline(values, len(values))
    assert drawn[values.index(min(values))] == "▁"
    assert drawn[values.index(max(values))] == "█"


@given(st.lists(FINITE, min_size=2), st.booleans())
def test_a_larger_value_stands_no_lower(values, log):
    drawn = sparkline(values, len(values), log)
    order = np.argsort(values, kind="stable")
    assert sorted(drawn) == [drawn[place] for place in order]


@given(st.lists(st.just(0.0), min_size=1), st.integers(0, 99), st.integers(2, 30))
def test_a_spike_of_one_step_is_never_lost(flat, where, width):
    values = flat * 40
    place = where % len(values)
    values[place] = 1.0
    assert sparkline(values, width).count("█") == 1
    values[place] = math.nan
    assert sparkline(values, width).count("×") == 1


@given(FINITE, st.integers(1, 20), st.booleans())
def test_a_constant_series_is_flat(value, count, log):
    assert sparkline([value] * count, 10, log) == "▁" * min(count, 10)


@pytest.mark.parametrize(
    ("values", "log", "expected"),
    [
        ([], False, ""),
        ([math.nan, 0, math.inf, 7, -math.inf, 3.5], False, "×▁×█×▅"),
        ([math.inf, math.nan], False, "××"),
        (range(8), False, "▁▂▃▄▅▆▇█"),
        ([10.0**power for power in range(8)], True, "▁▂▃▄▅▆▇█"),
        ([0, 1, 10, 100], True, "▁▁▅█"),
        ([0, math.nan, 0], True, "▁×▁"),
    ],
)
def test_what_is_drawn(values, log, expected):
    assert sparkline(values, 80, log) == expected
    letters = dict(zip(BLOCKS, ASCII, strict=True))
    assert sparkline(values, 80, log, ASCII) == "".join(letters[mark] for mark in expected)


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, math.nan, math.inf]), max_size=70))
def test_bins_that_halve_keep_the_largest_of_each(values):
    peaks = Peaks(most_bins=8)
    for value in values:
        peaks.add([value])
    size = 1
    while len(values) > 8 * size:
        size *= 2
    known = np.where(np.isfinite(values), values, np.nan)
    expected = [known[start : start + size].max() for start in range(0, len(values), size)]
    np.testing.assert_array_equal(peaks.bins, expected)
