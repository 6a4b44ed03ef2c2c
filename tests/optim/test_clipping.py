"""Clipping against torch's functions, and ZClip against its paper's rule, one number at a time."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hw2exp.config.groups import Clip
from hw2exp.models.axes import norms as norms_of
from hw2exp.models.hyperparameters import build as build_fleet
from hw2exp.optim.clipping.norm import ClipByNorm
from hw2exp.optim.clipping.value import ClipByValue
from hw2exp.optim.clipping.zclip import ZClip

NUMBERS = 37
ALPHA, Z_THRESHOLD, WARMUP = (0.97, 0.5, 0.9, 0.0), (2.5, 1.0, 2.0, 0.7), (25, 2, 10, 7)

SECTIONS = {
    "none": lambda r: Clip(name="none"),
    "norm": lambda r: ClipByNorm.Knobs(name="norm", max_norm=(1.0, 0.1, 5.0, 30.0)[r % 4]),
    "value": lambda r: ClipByValue.Knobs(name="value", max_value=(0.1, 1.0, 0.5, 3.0)[r % 4]),
    "zclip": lambda r: ZClip.Knobs(
        name="zclip",
        alpha=ALPHA[r % 4],
        z_threshold=Z_THRESHOLD[r % 4],
        warmup_steps=WARMUP[r % 4],
    ),
}

each_clip = pytest.mark.parametrize("name", SECTIONS)


def build(name, replicas):
    return build_fleet("clip", [SECTIONS[name](r) for r in range(replicas)])


def draw(steps, replicas, dtype=torch.float64):
    """Gradients (steps, R, P) with a spike now and then."""
    generator = torch.Generator().manual_seed(2)
    grads = torch.randn(steps, replicas, NUMBERS, generator=generator, dtype=torch.float64)
    sizes = torch.randn(steps, replicas, 1, generator=generator, dtype=torch.float64)
    return (grads * (0.5 * sizes).exp() * (1 + 20 * (sizes > 1.5))).to(dtype)


def run(program, grads):
    """The clipped gradients of every step, and the last state."""
    state = program.init(grads[0])
    clipped = []
    for g in grads:
        g, state = program.update(g, g, norms_of(g), state)
        clipped.append(g)
    return torch.stack(clipped), state


def parameter_with(grad):
    param = torch.nn.Parameter(torch.zeros_like(grad))
    param.grad = grad.clone()
    return param


def test_none_changes_nothing():
    grads = draw(5, 3)
    clipped, state = run(build("none", 3), grads)
    assert torch.equal(clipped, grads)
    assert state == {}


@pytest.mark.parametrize("size", [1e-3, 1e22, 3e38])
@pytest.mark.parametrize("max_norm", [1.0, 1e-6])
def test_an_exploding_gradient_is_rescaled_though_its_squares_overflow_float32(size, max_norm):
    grads = torch.full((2, NUMBERS), size)
    program = build_fleet("clip", [ClipByNorm.Knobs(name="norm", max_norm=max_norm)] * 2)
    (clipped,), _ = run(program, grads[None])
    expected = min(max_norm, size * NUMBERS**0.5)
    torch.testing.assert_close(
        norms_of(clipped), torch.full((2,), expected).double(), rtol=2e-3, atol=0
    )


def test_zclip_brings_an_overflowing_norm_back_among_those_before():
    grads = draw(40, 3, torch.float32)
    grads[-1] *= 1e30
    clipped, state = run(build("zclip", 3), grads)
    before = norms_of(grads[:-1].flatten(0, 1)).max()
    assert norms_of(clipped[-1]).max() < 10 * before
    assert all(value.isfinite().all() for value in state.values())


def test_norm_equals_torch():
    grads = draw(20, 4)
    clipped, _ = run(build("norm", 4), grads)
    assert not torch.equal(clipped, grads)
    for step, g in enumerate(grads):
        for r in range(4):
            param = parameter_with(g[r])
            torch.nn.utils.clip_grad_norm_([param], SECTIONS["norm"](r).max_norm)
            torch.testing.assert_close(clipped[step, r], param.grad, rtol=1e-14, atol=0)


def test_value_equals_torch():
    grads = draw(20, 4)
    clipped, _ = run(build("value", 4), grads)
    assert not torch.equal(clipped, grads)
    for step, g in enumerate(grads):
        for r in range(4):
            param = parameter_with(g[r])
            torch.nn.utils.clip_grad_value_([param], SECTIONS["value"](r).max_value)
            assert torch.equal(clipped[step, r], param.grad)


def zclip_factors(norms, alpha, z_threshold, warmup_steps):
    """Kumar et al. 2025 for one run: the factor on the gradient at every step."""
    eps = 1e-6
    collected, mean, var = [], 0.0, 0.0
    for g in norms:
        if len(collected) < warmup_steps:
            collected.append(g)
            mean = sum(collected) / len(collected)
            var = sum((one - mean) ** 2 for one in collected) / len(collected)
            yield 1.0
            continue
        std = math.sqrt(var)
        z = (g - mean) / (std + eps)
        effective = g
        if z > z_threshold:
            threshold = mean + z_threshold * std / (z / z_threshold)
            effective = min(g, threshold)
        yield effective / (g + eps) if effective < g else 1.0
        mean = alpha * mean + (1 - alpha) * effective
        var = alpha * var + (1 - alpha) * (effective - mean) ** 2


def test_zclip_follows_the_paper():
    steps, replicas = 400, 4
    grads = draw(steps, replicas)
    clipped, _ = run(build("zclip", replicas), grads)
    for r in range(replicas):
        norms = [float(norms_of(g)[r]) for g in grads]
        factors = list(zclip_factors(norms, ALPHA[r], Z_THRESHOLD[r], WARMUP[r]))
        some, all_after = sum(f < 1 for f in factors), steps - WARMUP[r]
        assert 0 < some < all_after
        expected = grads[:, r] * torch.tensor(factors, dtype=torch.float64)[:, None]
        torch.testing.assert_close(clipped[:, r], expected, rtol=1e-10, atol=0)


def test_zclip_only_measures_during_its_warmup():
    replicas, warmup = 3, 6
    sections = [
        ZClip.Knobs(name="zclip", alpha=0.9, z_threshold=0.01, warmup_steps=warmup)
        for _ in range(replicas)
    ]
    grads = draw(warmup, replicas) * 10.0 ** torch.arange(warmup)[:, None, None]
    clipped, state = run(build_fleet("clip", sections), grads)
    assert torch.equal(clipped, grads)
    norms = torch.stack([norms_of(g) for g in grads])
    torch.testing.assert_close(state["mean"], norms.mean(0))
    torch.testing.assert_close(state["variance"], norms.var(0, correction=0))


def test_zclip_clips_the_first_step_after_its_warmup():
    program = build_fleet(
        "clip", [ZClip.Knobs(name="zclip", alpha=0.9, z_threshold=2.0, warmup_steps=2)]
    )
    state = program.init(torch.zeros(1, 1))
    row = torch.ones(1, 4, dtype=torch.float64) / 2  # of norm 1
    for norm in (1.0, 3.0):  # mean 2, deviation 1
        seen = torch.tensor([norm], dtype=torch.float64)
        _, state = program.update(row * norm, row, seen, state)
    spike = torch.tensor([10.0], dtype=torch.float64)
    clipped, _ = program.update(row * 10, row, spike, state)
    # z = 8, so the limit is 2 + 2² / 8
    torch.testing.assert_close(norms_of(clipped), torch.tensor([2.5]).double(), rtol=1e-5, atol=0)


@each_clip
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_bits_alone_and_in_a_fleet(name, dtype):
    grads = draw(60, 64, dtype)
    sections = [SECTIONS[name](r) for r in range(64)]
    fleet, fleet_state = run(build_fleet("clip", sections), grads)
    for size in (1, 3):
        for first in (0, 1, 2, 30, 64 - size):
            part = slice(first, first + size)
            few, few_state = run(build_fleet("clip", sections[part]), grads[:, part])
            assert torch.equal(few, fleet[:, part])
            for key, value in few_state.items():
                assert torch.equal(value, fleet_state[key][part]), key


@each_clip
@pytest.mark.parametrize("step", [1, 40])  # during ZClip's warm-up, and after
def test_a_broken_replica_does_not_touch_its_neighbors(name, step):
    grads = draw(60, 4, torch.float32)
    program = build(name, 4)
    sound, sound_state = run(program, grads)
    grads[step, 1] = torch.nan
    grads[step, 2, 5] = torch.inf
    broken, broken_state = run(program, grads)
    neighbors = [0, 3]
    assert torch.equal(broken[:, neighbors], sound[:, neighbors])
    for key, value in broken_state.items():
        assert torch.equal(value[neighbors], sound_state[key][neighbors]), key


@each_clip
def test_what_is_not_a_number_is_not_hidden(name):
    """A divergence must be seen, so no clipping may turn NaN into a number."""
    grads = draw(60, 4, torch.float32)
    grads[40, 1] = torch.nan
    clipped, _ = run(build(name, 4), grads)
    assert clipped[40, 1].isnan().all()


@pytest.mark.parametrize("name", ["none", "norm", "zclip"])  # by value ∞ is the limit, as in torch
def test_an_infinite_entry_is_not_hidden(name):
    grads = draw(60, 4, torch.float32)
    grads[40, 2, 5] = torch.inf
    clipped, _ = run(build(name, 4), grads)
    assert not clipped[40, 2, 5].isfinite()


@each_clip
def test_update_is_out_of_place(name):
    grads = draw(60, 4)
    program = build(name, 4)
    _, state = run(program, grads)
    norm = norms_of(grads[0])
    arguments = {"grads": grads[0], "norm": norm, **state}
    copies = {key: value.clone() for key, value in arguments.items()}
    program.update(grads[0], grads[0], norm, state)
    for key, value in arguments.items():
        assert torch.equal(value, copies[key]), key


@each_clip
def test_state_has_a_number_for_every_replica(name):
    program = build(name, 4)
    _, after = run(program, draw(60, 4, torch.float32))
    before = program.init(torch.zeros(4, 1))
    assert before.keys() == after.keys()
    for key in before:
        assert before[key].shape == after[key].shape == (4,)
        assert before[key].dtype == after[key].dtype == torch.float64


entries = st.floats(-1e6, 1e6, width=32)
rows = st.lists(st.lists(entries, min_size=5, max_size=5), min_size=1, max_size=4)
limits = st.lists(st.floats(1e-3, 1e3), min_size=4, max_size=4)


@settings(deadline=None)
@given(rows, limits)
def test_norm_is_at_most_the_limit_and_keeps_its_direction(rows, limits):
    grads = torch.tensor(rows)
    sections = [
        ClipByNorm.Knobs(name="norm", max_norm=m) for m, _ in zip(limits, rows, strict=False)
    ]
    clipped, _ = build_fleet("clip", sections).update(grads, grads, norms_of(grads), {})
    limit = torch.tensor(limits[: len(rows)], dtype=torch.float64)
    before, after = norms_of(grads.double()), norms_of(clipped.double())
    assert (after <= limit * (1 + 1e-6)).all()
    assert (after <= before * (1 + 1e-6)).all()
    along = (grads.double() * clipped.double()).sum(1)
    torch.testing.assert_close(along, before * after, rtol=1e-6, atol=1e-30)


@settings(deadline=None)
@given(rows, limits)
def test_entries_are_at_most_the_limit_and_keep_their_sign(rows, limits):
    grads = torch.tensor(rows, dtype=torch.float64)
    sections = [
        ClipByValue.Knobs(name="value", max_value=m) for m, _ in zip(limits, rows, strict=False)
    ]
    clipped, _ = build_fleet("clip", sections).update(grads, grads, norms_of(grads), {})
    limit = torch.tensor(limits[: len(rows)], dtype=torch.float64)[:, None]
    assert (clipped.abs() <= limit).all()
    assert torch.equal(clipped.sign(), grads.sign())
    inside = grads.abs() <= limit
    assert torch.equal(clipped[inside], grads[inside])


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=80))
def test_zclip_never_scales_up(norms):
    program = build("zclip", 4)
    state = program.init(torch.zeros(4, 1))
    row = torch.ones(4, 1, dtype=torch.float64)
    for norm in norms:
        seen = torch.full((4,), norm).double()
        clipped, state = program.update(row * norm, row, seen, state)
        assert (clipped >= 0).all()
        assert (clipped <= norm).all()
        assert (state["variance"] >= 0).all()
