"""Clipping against torch's functions, and ZClip against its paper's rule, one number at a time."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hw2exp.config.groups import Clip
from hw2exp.models.axes import Layout
from hw2exp.models.axes import norms as norms_of
from hw2exp.models.hyperparameters import build as build_rule
from hw2exp.optim.clipping.adagc import AdaGC
from hw2exp.optim.clipping.agc import AGC
from hw2exp.optim.clipping.autoclip import AutoClip
from hw2exp.optim.clipping.norm import ClipByNorm
from hw2exp.optim.clipping.value import ClipByValue
from hw2exp.optim.clipping.zclip import ZClip
from hw2exp.optim.named import in_rows

LAYOUT = Layout({"weight_ih": (5, 3), "bias": (5,), "readout_weight": (4, 4), "gamma": (1,)})
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
    "agc": lambda r: AGC.Knobs(
        name="agc",
        max_ratio=(0.01, 0.1, 1.0, 5.0)[r % 4],
        eps=(1e-3, 1e-2, 0.5, 3.0)[r % 4],
        readout=True,
    ),
    "adagc": lambda r: AdaGC.Knobs(
        name="adagc",
        beta=(0.98, 0.5, 0.9, 0.0)[r % 4],
        max_ratio=(1.05, 2.0, 1.5, 0.9)[r % 4],
        warmup_norm=(1.0, 5.0, 0.1, 1e6)[r % 4],
        warmup_steps=(10, 1, 3, 6)[r % 4],
    ),
    "autoclip": lambda r: AutoClip.Knobs(
        name="autoclip", percentile=(10.0, 50.0, 75.0, 33.3)[r % 4], history=9
    ),
}

STEPS = {"agc": 3, "adagc": 12, "autoclip": 12}
"""Fewer steps, where they show all there is to see."""

each_clip = pytest.mark.parametrize("name", SECTIONS)


def build_fleet(group, sections):
    return in_rows(build_rule(group, sections), LAYOUT)


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


def agc_by_torch(grad, param, knobs):
    """Brock et al. 2021, eq. 3, for one replica's tensor."""

    def unit(x):
        return x.norm(dim=1, keepdim=True) if x.dim() == 2 else x.norm()

    limit = knobs.max_ratio * unit(param).clamp(min=knobs.eps)
    return torch.where(unit(grad) > limit, grad * limit / unit(grad), grad)


@pytest.mark.parametrize("readout", [True, False])
def test_agc_follows_the_paper(readout):
    sections = [SECTIONS["agc"](r).model_copy(update={"readout": readout}) for r in range(4)]
    grads, weights = draw(20, 4), draw(21, 4)[-1]
    weights[:, :3] = 0  # a unit without weights
    grads[10, :, :3] = 0  # and without a gradient
    program, changed = build_fleet("clip", sections), 0
    for g in grads:
        clipped, _ = program.update(g, weights, norms_of(g), {})
        changed += int((clipped != g).sum())
        ours, params = LAYOUT.unflatten(clipped), LAYOUT.unflatten(weights)
        for name, grad in LAYOUT.unflatten(g).items():
            free = name == "readout_weight" and not readout
            for r, knobs in enumerate(sections):
                expected = grad[r] if free else agc_by_torch(grad[r], params[name][r], knobs)
                torch.testing.assert_close(ours[name][r], expected, rtol=1e-13, atol=0)
    assert 0 < changed < grads.numel()


def adagc_by_one(grads, knobs):
    """Wang et al. 2025, algorithm 1, for one replica: the tensors' clipped gradients."""
    gamma = {}
    for t, own in enumerate(grads, 1):
        whole = math.sqrt(sum(float(g.norm()) ** 2 for g in own.values()))
        clipped = {}
        for name, g in own.items():
            if t <= knobs.warmup_steps:
                clipped[name] = g * min(knobs.warmup_norm / whole, 1)
                norm = float(clipped[name].norm())
                gamma[name] = min(gamma.get(name, math.inf), norm)
            else:
                clipped[name] = g * min(knobs.max_ratio * gamma[name] / float(g.norm()), 1)
                norm = float(clipped[name].norm())
                gamma[name] = knobs.beta * gamma[name] + (1 - knobs.beta) * norm
        yield clipped


def test_adagc_follows_the_paper():
    grads = draw(100, 4)
    clipped, _ = run(build("adagc", 4), grads)
    for r in range(4):
        own = [LAYOUT.unflatten(g[r : r + 1]) for g in grads]
        for step, expected in enumerate(adagc_by_one(own, SECTIONS["adagc"](r))):
            for name, found in LAYOUT.unflatten(clipped[step, r : r + 1]).items():
                torch.testing.assert_close(found, expected[name], rtol=1e-11, atol=0)


def test_a_gradient_of_zero_does_not_silence_a_tensor_for_adagc():
    """Neither in the warm-up, nor all through it."""
    sections = [
        AdaGC.Knobs(name="adagc", beta=0.9, max_ratio=2.0, warmup_norm=1.0, warmup_steps=3)
    ] * 2
    program, grads = build_fleet("clip", sections), torch.ones(8, 2, NUMBERS).double()
    grads[1, 0, :15] = 0
    grads[:4, 1, :15] = 0
    clipped, state = run(program, grads)
    assert torch.equal(clipped == 0, grads == 0)
    assert norms_of(clipped[4, 1:, :15]) <= 1, "what is seen late is clipped as in the warm-up"
    assert (state["norms"] > 0).all()


def test_autoclip_is_the_percentile_of_the_newest_norms():
    grads = draw(200, 4)
    grads[3] *= 1e30
    clipped, _ = run(build("autoclip", 4), grads)
    for r in range(4):
        knobs, seen = SECTIONS["autoclip"](r), []
        for step, g in enumerate(grads[:, r]):
            seen.append(float(g.norm()))
            param = parameter_with(g)
            limit = np.percentile(seen[-knobs.history :], knobs.percentile)
            torch.nn.utils.clip_grad_norm_([param], limit)
            torch.testing.assert_close(clipped[step, r], param.grad, rtol=1e-11, atol=0)


@pytest.mark.parametrize("name", ["agc", "adagc", "autoclip"])
def test_a_spike_of_1e30_is_brought_back_and_a_zero_gradient_stays_zero(name):
    grads = draw(60, 4, torch.float32)
    grads[40] *= 1e30
    grads[50] = 0
    program = build(name, 4)
    state, weights, clipped = program.init(grads[0]), draw(1, 4, torch.float32)[0], []
    for g in grads:
        g, state = program.update(g, weights, norms_of(g), state)
        clipped.append(norms_of(g))
    assert (clipped[40] < 100 * torch.stack(clipped[30:40]).amax(0)).all()
    assert (clipped[50] == 0).all()
    assert all(value.isfinite().all() for value in state.values())
    assert (clipped[51] > 0).all()


@each_clip
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_bits_alone_and_in_a_fleet(name, dtype):
    grads = draw(STEPS.get(name, 60), 64, dtype)
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


# By value ∞ is the limit, as in torch.
@pytest.mark.parametrize("name", sorted(SECTIONS.keys() - {"value"}))
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
    before = program.init(torch.zeros(4, NUMBERS))
    assert before.keys() == after.keys()
    for key in before:
        assert before[key].shape == after[key].shape
        assert len(before[key]) == 4
        assert (before[key].dim() == 1) == (key != "norms"), "several norms of a replica"
        assert before[key].dtype == after[key].dtype == torch.float64


entries = st.floats(-1e6, 1e6, width=32)
rows = st.lists(st.lists(entries, min_size=5, max_size=5), min_size=1, max_size=4)
limits = st.lists(st.floats(1e-3, 1e3), min_size=4, max_size=4)


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
