"""Box counting on borders whose dimension is known."""

import math

import numpy as np
import pytest
from matplotlib.path import Path

from hw2exp.diagnostics.box_counting import border, roughness


def plane(side):
    """Return the coordinates of a grid's values, from 0 to 1: upward, to the right."""
    return np.mgrid[:side, :side] / (side - 1)


def assert_dimension(found, value, width=0.1):
    """Assert that a narrow interval holds a dimension."""
    estimate = found.dimension
    assert estimate.low - 1e-9 <= value <= estimate.high + 1e-9, found
    assert estimate.high - estimate.low < width, found


@pytest.mark.parametrize("side", [256, 300])
def test_smooth_borders_have_dimension_one(side):
    y, x = plane(side)
    assert_dimension(roughness(x > 0.5), 1)
    assert_dimension(roughness(y > 0.37 * x + 0.3), 1)
    assert_dimension(roughness((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.09), 1)


@pytest.mark.parametrize("side", [128, 200, 256, 512])
def test_the_maps_edge_hides_no_line(side):
    """Large boxes that lie within the map would miss a line beside its edge."""
    y, x = plane(side)
    beside = x < 0.08, y < 0.07 + 0.018 * x, y < 0.06 + 0.018 * x, x + y > 1.4
    across = x > 0.5, y > 0.37 * x + 0.3, y > 1.3 * x - 0.1
    for line in (*beside, *across):
        assert roughness(line).dimension.value == pytest.approx(1, abs=0.02)


def test_two_scales_give_no_interval():
    found = roughness(plane(128)[0] > 0.5).dimension
    assert found.value == pytest.approx(1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_the_border_of_gradient_descent_on_a_quadratic_loss_is_smooth():
    """Gradient descent with momentum on λ w² / 2 diverges above the rate 2 (1 + β) / λ."""
    momentum, rate = plane(256) * [[[0.95]], [[5.0]]]
    weight, moved = np.ones_like(rate), np.zeros_like(rate)
    for _ in range(2000):
        moved = momentum * moved - rate * weight
        weight = np.clip(weight + moved, -1e9, 1e9)
    diverged = abs(weight) > 10
    assert (diverged == (rate > 2 * (1 + momentum))).mean() > 0.995
    assert_dimension(roughness(diverged), 1)


def snowflake(side, depth=5):
    """Return which values lie in Koch's snowflake."""
    corners = np.array([0, 1, np.exp(-1j * np.pi / 3), 0])
    for _ in range(depth):
        start, third = corners[:-1], np.diff(corners) / 3
        peak = start + third * (1 + np.exp(1j * np.pi / 3))
        pieces = [start, start + third, peak, start + 2 * third]
        corners = np.append(np.stack(pieces, 1).ravel(), corners[0])
    corners = (corners - 0.5 + 0.29j) / 1.5 + 0.5 + 0.5j
    y, x = plane(side)
    values = np.stack([x.ravel(), y.ravel()], 1)
    return Path(np.stack([corners.real, corners.imag], 1)).contains_points(values).reshape(x.shape)


def test_kochs_snowflake():
    assert_dimension(roughness(snowflake(256)), math.log(4) / math.log(3))


def test_sierpinskis_triangle():
    """Pascal's triangle modulo 2: Lucas' theorem."""
    row, column = np.mgrid[:512, :512]
    triangle = np.pad(row & column == 0, 256)  # its sides must not be those of the map
    assert_dimension(roughness(triangle), math.log(3) / math.log(2), width=0.2)


def test_noise_fills_the_plane():
    assert_dimension(roughness(np.random.default_rng(0).random((256, 256)) < 0.5), 2)


def mandelbrot(center, width, side, steps):
    """Return which values of c stay bounded in z ← z² + c for some steps."""
    y, x = (plane(side) - 0.5) * width
    c = (center + x + 1j * y).ravel()
    bounded, at, z = np.ones(c.size, bool), np.arange(c.size), np.zeros_like(c)
    for _ in range(steps):
        z = z * z + c
        stays = abs(z) <= 2
        bounded[at[~stays]] = False
        z, c, at = z[stays], c[stays], at[stays]
    return bounded.reshape(side, side)


def test_the_mandelbrot_set_is_rough_and_rougher_where_its_border_is_seen():
    """Its border has dimension 2 (Shishikura 1998), which no picture reaches.

    Of the whole set, filaments are thinner than a value, and what is left is nearly smooth. In the
    seahorse valley, with as many steps as make filaments some values wide, much of it is seen.
    """
    whole = roughness(mandelbrot(-0.6, 2.8, 512, 300)).dimension
    valley = roughness(mandelbrot(-0.745 + 0.11j, 0.02, 512, 400)).dimension
    assert 1.1 < whole.value < 1.3
    assert whole.low > 1
    assert 1.6 < valley.low < valley.high < 2


def surface(side, roughness, generator):
    """Return a random surface whose zeros have dimension 2 less ``roughness`` (Hurst's)."""
    wave = np.hypot(*np.meshgrid(*[np.fft.fftfreq(2 * side) * 2 * side] * 2))
    wave[0, 0] = np.inf
    noise = np.fft.fft2(generator.standard_normal(wave.shape))
    return np.fft.ifft2(noise * wave ** -(roughness + 1)).real[:side, :side]


@pytest.mark.slow
@pytest.mark.parametrize("hurst", [0.2, 0.5, 0.8])
def test_intervals_hold_the_dimension_of_random_borders(hurst):
    """A line through all counts would have intervals that hold it one time in three."""
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(20):
        heights = surface(256, hurst, generator)
        found = roughness(heights > np.median(heights)).dimension
        held += found.low <= 2 - hurst <= found.high
    assert held >= 15


def test_maps_of_several_seeds_are_averaged():
    y, x = plane(256)
    maps = np.stack([x > 0.5, y > 0.37 * x + 0.3])
    found = roughness(maps)
    assert_dimension(found, 1)
    assert found.slopes != roughness(maps[1]).slopes


def test_the_border_lies_between_different_values_and_not_beside_unknown_ones():
    values = np.array([[0, 0, 1], [0, 0, 1], [np.nan, 0, 0]])
    assert border(values).tolist() == [[False, True], [False, True]]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (np.zeros((256, 256)), "no border: all outcomes are the same"),
        (np.ones((256, 256)), "no border: all outcomes are the same"),
        (np.full((256, 256), np.nan), "no border: all outcomes are the same"),
        (np.eye(64), "a map needs 128 values a side"),
        (plane(256)[0] + plane(256)[1] < 0.1, "the border is shorter than half the map's side"),
    ],
)  # fmt: skip
def test_a_map_without_a_dimension_says_why(made, reason):
    found = roughness(made)
    assert found.reason == reason
    assert math.isnan(found.dimension.value)
