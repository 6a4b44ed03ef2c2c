"""The loss on a plane: each point against the loss alone, the slope against the gradient."""

import numpy as np
import pytest
import torch

from hw2exp.diagnostics.cliff import Plane, plane_along, slice_loss
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train_step
from hw2exp.tasks.task import TRAIN
from hw2exp.tasks.temporal_order import PAD

SMALL = ("task=easy", "batch_size=5", "model.hidden_size=6")
A, B = torch.linspace(-0.5, 0.5, 5), torch.tensor([-0.1, 0.0, 0.2])


def trained(config, dtype=torch.float32):
    """A fleet of one after some steps, the plane along its gradient, and its next batch."""
    fleet = Fleet([config])
    for step in range(1, 4):
        train_step(fleet, step)
    batch = fleet.batch(4, TRAIN, config.batch_size)
    origin = fleet.state.params.to(dtype)
    back = fleet.model.gradient(fleet.layout.unflatten(origin), *batch)
    gradient = fleet.layout.flatten(list(back.of.values()))[0]
    return fleet, plane_along(origin[0], gradient, seed=1), gradient, batch


@pytest.mark.parametrize("overrides", [("norm=none",), ("norm=batch", "model=gated_rnn")])
def test_every_point_is_the_loss_alone(compose, overrides):
    config = compose(*SMALL, *overrides)
    fleet, plane, _, batch = trained(config)
    cliff = slice_loss(config, plane, batch[0][0], batch[1][0], A, B)
    assert cliff.loss.shape == (3, 5)
    for j, b in enumerate(B):
        for i, a in enumerate(A):
            row = plane.origin + a * plane.u + b * plane.v
            params = fleet.layout.unflatten(row[None])
            alone, _, _ = fleet.model.losses(params, *batch)
            assert torch.equal(cliff.loss[j, i], alone.mean())
    assert len(cliff.loss.unique()) == 15


def test_at_the_origin_stands_the_loss_of_the_next_step(compose):
    config = compose(*SMALL, "model=lstm")
    fleet, plane, _, batch = trained(config)
    cliff = slice_loss(config, plane, batch[0][0], batch[1][0], A, B)
    torch.testing.assert_close(cliff.loss[1, 2], train_step(fleet, 4).loss[0], rtol=1e-6, atol=0)


@pytest.mark.parametrize("overrides", [("norm=none",), ("norm=batch",)])
def test_at_the_origin_the_slope_along_u_is_the_norm_of_the_gradient_and_along_v_there_is_none(
    compose, overrides
):
    config = compose(*SMALL, "model=attn_rnn", *overrides)
    _, plane, gradient, batch = trained(config, torch.float64)
    near = torch.tensor([-1e-5, 0.0, 1e-5], dtype=torch.float64)
    loss = slice_loss(config, plane, batch[0][0], batch[1][0], near, near).loss
    assert loss.dtype == torch.float64
    along_u, along_v = (loss[1, 2] - loss[1, 0]) / 2e-5, (loss[2, 1] - loss[0, 1]) / 2e-5
    norm = torch.linalg.vector_norm(gradient)
    assert norm > 1e-2
    torch.testing.assert_close(along_u, norm, rtol=1e-6, atol=0)
    assert along_v.abs() < 1e-6 * norm


def test_what_overflows_stays_in_the_grid(compose):
    config = compose(*SMALL, "model=attn_rnn")
    _, plane, _, batch = trained(config)
    far = torch.tensor([0.0, 1e37])
    loss = slice_loss(config, plane, batch[0][0], batch[1][0], far, far).loss
    assert loss[0, 0].isfinite()
    assert not loss[1, 1].isfinite()


def test_the_wall_of_a_one_unit_network(compose):
    """Pascanu et al. 2013, fig. 6: at a bifurcation the unit leaves one fixed point for another.

    Without input h[t] = σ(10 h[t-1] + β) starts at 0 and stays near it while a stable state is
    there, up to h (1-h) = 1/10: β = ln(h / (1-h)) - 10 h = -3.19. Beyond it climbs to 1.
    """
    config = compose(
        "model=rnn", "model.hidden_size=1", "model.nonlinearity=sigmoid", "task=torder",
        "task.symbols=200", "batch_size=1",
    )  # fmt: skip
    fleet = Fleet([config])
    layout, zeros = (
        fleet.layout,
        {name: 0.0 * value.double() for name, value in fleet.params.items()},
    )

    def row(**values):
        return layout.flatten([zeros[name] + values.get(name, 0.0) for name in zeros])[0]

    first_class = torch.tensor([20.0, 0.0, 0.0, 0.0]).double()[:, None]
    plane = Plane(
        row(weight_hh=10.0, readout_weight=first_class), row(bias_hh=1.0), row(weight_hh=1.0)
    )
    nothing = torch.full((1, config.task.symbols + 1), PAD, dtype=torch.uint8)
    second = torch.tensor([1], dtype=torch.uint8)
    beta = torch.linspace(-3.4, -3.0, 41).double()
    loss = slice_loss(config, plane, nothing, second, beta, torch.zeros(1).double()).loss[0]
    assert (loss[beta < -3.20] < 4).all()
    assert (loss[beta > -3.17] > 15).all()


# ---------------------------------------------------------------- the plane


def drawn(P=50, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    origin, gradient = torch.randn(2, P, generator=generator, dtype=torch.float64).to(dtype)
    return origin, gradient


@pytest.mark.parametrize("P", [2, 3, 50, 1000])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_the_directions_are_orthonormal(P, size):
    origin, gradient = drawn(P)
    plane = plane_along(origin, size * gradient, seed=4)
    both = torch.stack([plane.u, plane.v])
    torch.testing.assert_close(both @ both.mT, torch.eye(2).double(), rtol=0, atol=1e-14)
    assert (plane.u @ gradient) > 0


def test_the_random_direction_is_a_function_of_the_seed():
    planes = [plane_along(*drawn(), seed=seed) for seed in (3, 3, 4)]
    assert torch.equal(planes[0].v, planes[1].v)
    assert abs(float(planes[0].v @ planes[2].v)) < 0.6


def test_projection_and_distance_take_a_point_apart():
    origin, gradient = drawn()
    plane = plane_along(origin, gradient, seed=2)
    off = plane_along(origin, gradient, seed=5).v  # orthogonal to u
    off = off - (off @ plane.v) * plane.v
    off = off / off.norm()
    at = torch.tensor([[0.3, -2.0], [0.0, 0.0], [1e3, 1.0]], dtype=torch.float64)
    away = torch.tensor([0.7, 0.0, 3.0], dtype=torch.float64)
    rows = origin + at @ torch.stack([plane.u, plane.v]) + away[:, None] * off
    torch.testing.assert_close(plane.project(rows), at, rtol=0, atol=1e-11)
    torch.testing.assert_close(plane.distance(rows), away, rtol=0, atol=1e-11)


def test_the_grid_reaches_as_far_as_the_path_does():
    origin, gradient = drawn(dtype=torch.float32)
    plane = plane_along(origin, gradient, seed=2)
    path = origin + torch.tensor([[0.0], [-3.0], [2.0], [torch.inf], [torch.nan]]) * plane.u
    grid = plane.grid(path, points=5, margin=2)
    assert grid.dtype == torch.float32
    np.testing.assert_allclose(grid, [-6, -3, 0, 3, 6], rtol=1e-5)
    assert grid[2] == 0


@pytest.mark.parametrize("points", [2, 40, 1, 0])
def test_a_grid_without_the_origin_is_refused(points):
    plane = plane_along(*drawn(), seed=0)
    with pytest.raises(ValueError, match=f"points={points}"):
        plane.grid(plane.origin[None] + plane.u, points)


def test_a_path_that_stands_still_is_refused():
    plane = plane_along(*drawn(), seed=0)
    with pytest.raises(ValueError, match="no step leaves the origin"):
        plane.grid(plane.origin.expand(3, -1))


@pytest.mark.parametrize("value", [0.0, torch.nan, torch.inf])
def test_a_gradient_that_points_nowhere_is_refused(value):
    origin, _ = drawn()
    with pytest.raises(ValueError, match="points nowhere"):
        plane_along(origin, torch.full_like(origin, value), seed=0)


def test_one_parameter_spans_no_plane():
    with pytest.raises(ValueError, match="one parameter"):
        plane_along(torch.ones(1), torch.ones(1), seed=0)
