import numpy as np
import pytest
from matplotlib import colormaps

from hw2exp.diagnostics.heat_map import heat_map

TOLERANCE = 10
"""Of 255: nine colors stand for all of the colormap."""


def color(level):
    return (np.array(colormaps["viridis"](level))[:3] * 255).round()


def test_a_column_for_each_list_with_its_first_value_at_the_top():
    pixels = heat_map([[1.0, 10.0], [100.0, 1000.0]], logarithmic=True)
    assert pixels.dtype == np.uint8
    height, width, _ = pixels.shape
    assert height >= 120
    assert width >= 320
    np.testing.assert_allclose(pixels[0, 0].astype(int), color(0.0), atol=TOLERANCE)
    np.testing.assert_allclose(pixels[-1, 0].astype(int), color(1 / 3), atol=TOLERANCE)
    np.testing.assert_allclose(pixels[0, -1].astype(int), color(2 / 3), atol=TOLERANCE)
    np.testing.assert_allclose(pixels[-1, -1].astype(int), color(1.0), atol=TOLERANCE)


def test_a_linear_one():
    pixels = heat_map([[0.0], [0.25], [1.0]], logarithmic=False)
    width = pixels.shape[1]
    np.testing.assert_allclose(pixels[0, width // 2].astype(int), color(0.25), atol=TOLERANCE)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_what_has_no_logarithm_is_gray(value):
    pixels = heat_map([[1.0, value, 2.0]], logarithmic=True)
    assert (pixels[pixels.shape[0] // 2, 0] == 128).all()
    assert (heat_map([[value]], logarithmic=True) == 128).all()


def test_large_ones_stay_as_they_are():
    assert heat_map(np.ones((700, 500)).tolist(), logarithmic=True).shape == (500, 700, 3)


def test_a_long_run_is_thinned_and_no_explosion_is_lost():
    columns = np.ones((4321, 3))
    columns[1234, 1] = 100
    pixels = heat_map(columns.tolist(), logarithmic=True)
    assert pixels.shape[1] <= 1000
    bright = (pixels == (253, 231, 37)).all(-1)
    assert bright.any(axis=0).sum() == 1
    np.testing.assert_allclose(np.flatnonzero(bright.any(axis=0)), [1234 // 5])
