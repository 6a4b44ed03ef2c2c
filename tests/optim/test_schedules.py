"""Schedules against torch's over a whole run, every replica with knobs of its own."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hw2exp.config.groups import Schedule
from hw2exp.models.hyperparameters import build
from hw2exp.optim.schedules.cosine import Cosine
from hw2exp.optim.schedules.linear import Linear
from hw2exp.optim.schedules.plateau import Plateau
from hw2exp.optim.schedules.step import StepDecay
from hw2exp.optim.schedules.warmup_cosine import WarmupCosine
from hw2exp.optim.schedules.wsd import WSD

STEPS, LR = 200, 0.3

SECTIONS = {
    "constant": lambda r: Schedule(name="constant"),
    "step": lambda r: StepDecay.Knobs(
        name="step", every=(7, 1, 50, 1000)[r % 4], gamma=(0.3, 0.99, 1.0, 0.5)[r % 4]
    ),
    "cosine": lambda r: Cosine.Knobs(name="cosine", min_factor=(0.0, 0.1, 0.5, 1.0)[r % 4]),
    "warmup_cosine": lambda r: WarmupCosine.Knobs(
        name="warmup_cosine",
        min_factor=(0.0, 0.1, 0.5, 0.2)[r % 4],
        warmup_steps=(20, 0, 1, 99)[r % 4],
    ),
    "linear": lambda r: Linear.Knobs(
        name="linear",
        min_factor=(0.0, 0.1, 0.5, 0.2)[r % 4],
        warmup_steps=(20, 0, 1, 99)[r % 4],
    ),
    "wsd": lambda r: WSD.Knobs(
        name="wsd",
        min_factor=(0.0, 0.1, 0.5, 0.2)[r % 4],
        warmup_steps=(20, 0, 1, 99)[r % 4],
        decay=(0.2, 1.0, 0.995, 0.505)[r % 4],
        shape="sqrt",
    ),
    "plateau": lambda r: Plateau.Knobs(
        name="plateau",
        factor=(0.3, 0.5, 0.9, 0.1)[r % 4],
        patience=(3, 0, 1, 10)[r % 4],
        threshold=(0.01, 0.0, 0.1, 0.5)[r % 4],
        min_factor=(0.001, 0.0, 0.5, 1e-6)[r % 4],
    ),
}

each_schedule = pytest.mark.parametrize("name", SECTIONS)


def draw_losses():
    """Test losses (passes, R) that fall, stall and rise."""
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(STEPS, 64, generator=generator, dtype=torch.float64)
    trend = torch.linspace(2, -2, STEPS, dtype=torch.float64)[:, None].exp()
    return trend * (0.5 * noise).exp()


LOSSES = draw_losses()


def run(sections, losses, steps=STEPS):
    """The factor of every update, (steps, R), with a test pass after each, and the last state."""
    program = build("schedule", sections, steps=steps)
    state = program.init(len(sections))
    factors = []
    for updates in range(steps):
        factors.append(program.at(updates, state))
        state = program.observe(losses[updates], state)
    return torch.stack(factors), state


def fleet(name, replicas=4):
    return [SECTIONS[name](r) for r in range(replicas)]


def torch_factors(make, losses=None):
    """The factor that one of torch's schedulers puts on the learning rate of every update."""
    stepper = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = make(stepper)
    factors = []
    for step in range(STEPS):
        factors.append(stepper.param_groups[0]["lr"] / LR)
        stepper.step()
        scheduler.step(*([] if losses is None else [float(losses[step])]))
    return torch.tensor(factors, dtype=torch.float64)


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-13)


def test_constant_is_one():
    factors, _ = run(fleet("constant"), LOSSES[:, :4])
    assert torch.equal(factors, torch.ones(STEPS, 4, dtype=torch.float64))


def test_step_equals_torch():
    factors, _ = run(fleet("step"), LOSSES[:, :4])
    for r, section in enumerate(fleet("step")):
        expected = torch_factors(
            lambda o, s=section: torch.optim.lr_scheduler.StepLR(o, s.every, s.gamma)
        )
        close(factors[:, r], expected)


def test_cosine_equals_torch():
    factors, _ = run(fleet("cosine"), LOSSES[:, :4])
    for r, section in enumerate(fleet("cosine")):
        expected = torch_factors(
            lambda o, s=section: torch.optim.lr_scheduler.CosineAnnealingLR(
                o, T_max=STEPS, eta_min=s.min_factor * LR
            )
        )
        close(factors[:, r], expected)


def test_warmup_cosine_equals_torch():
    factors, _ = run(fleet("warmup_cosine"), LOSSES[:, :4])
    for r, section in enumerate(fleet("warmup_cosine")):

        def make(o, warmup=section.warmup_steps, least=section.min_factor):
            lr_scheduler = torch.optim.lr_scheduler
            # Made while the rate is still the full one, since it falls from what it finds.
            fall = lr_scheduler.CosineAnnealingLR(o, T_max=STEPS - warmup, eta_min=least * LR)
            if warmup == 0:
                return fall
            rise = lr_scheduler.LinearLR(o, start_factor=1 / (warmup + 1), total_iters=warmup)
            return lr_scheduler.SequentialLR(o, [rise, fall], milestones=[warmup])

        close(factors[:, r], torch_factors(make))


def test_warmup_rises_in_equal_steps_to_one():
    for r, section in enumerate(fleet("warmup_cosine")):
        warmup = section.warmup_steps
        factors = run(fleet("warmup_cosine"), LOSSES[:, :4])[0][:, r]
        assert factors[0] > 0
        assert factors[warmup] == 1
        rise = factors[: warmup + 1].diff()
        torch.testing.assert_close(rise, torch.full_like(rise, 1 / (warmup + 1)))
        assert (factors[warmup:].diff() <= 0).all()


def after_warmup(make):
    """Torch's factors of a linear warm-up, then another schedule, for each replica's knobs."""

    def with_knobs(knobs):
        def both(o):
            lr_scheduler = torch.optim.lr_scheduler
            after = make(o, knobs)  # first, since it falls from the rate that it finds
            if knobs.warmup_steps == 0:
                return after
            rise = lr_scheduler.LinearLR(
                o, start_factor=1 / (knobs.warmup_steps + 1), total_iters=knobs.warmup_steps
            )
            return lr_scheduler.SequentialLR(o, [rise, after], milestones=[knobs.warmup_steps])

        return torch_factors(both)

    return with_knobs


def test_linear_equals_torch():
    def line(o, knobs):
        span = STEPS - knobs.warmup_steps
        return torch.optim.lr_scheduler.LinearLR(o, 1, knobs.min_factor, span)

    factors, _ = run(fleet("linear"), LOSSES[:, :4])
    for r, knobs in enumerate(fleet("linear")):
        close(factors[:, r], after_warmup(line)(knobs))


@pytest.mark.parametrize("shape", ["linear", "sqrt"])
def test_wsd_follows_the_papers(shape):
    """Hägele et al. 2024, eq. 1 and §3.2, with N steps, of which N_decay are the decay."""

    def fall(o, knobs):
        N, N_decay = STEPS, round(knobs.decay * STEPS)

        def factor(updates):
            n = updates + knobs.warmup_steps
            x = (n - (N - N_decay)) / N_decay
            left = 1 if n <= N - N_decay else 1 - x if shape == "linear" else 1 - math.sqrt(x)
            return knobs.min_factor + (1 - knobs.min_factor) * left

        return torch.optim.lr_scheduler.LambdaLR(o, factor)

    sections = [knobs.model_copy(update={"shape": shape}) for knobs in fleet("wsd")]
    factors, _ = run(sections, LOSSES[:, :4])
    for r, knobs in enumerate(sections):
        close(factors[:, r], after_warmup(fall)(knobs))


def test_wsd_stays_between_its_rise_and_its_fall():
    factors, _ = run(fleet("wsd"), LOSSES[:, :4])
    assert (factors[20:161, 0] == 1).all()
    assert (factors[161:, 0].diff() < 0).all()
    assert factors[160 + 10, 0] == pytest.approx(0.5)  # 1 - √¼


def test_warmup_cosine_without_warmup_is_the_cosine():
    warm = [WarmupCosine.Knobs(name="warmup_cosine", min_factor=0.1, warmup_steps=0)]
    plain = [Cosine.Knobs(name="cosine", min_factor=0.1)]
    assert torch.equal(run(warm, LOSSES[:, :1])[0], run(plain, LOSSES[:, :1])[0])


def test_a_warmup_longer_than_the_run_only_rises():
    for warmup in (STEPS, STEPS + 5):
        section = WarmupCosine.Knobs(name="warmup_cosine", min_factor=0.1, warmup_steps=warmup)
        factors = run([section], LOSSES[:, :1])[0][:, 0]
        expected = torch.arange(1, STEPS + 1, dtype=torch.float64) / (warmup + 1)
        close(factors, expected)


def test_plateau_equals_torch():
    factors, _ = run(fleet("plateau"), LOSSES[:, :4])
    for r, section in enumerate(fleet("plateau")):
        expected = torch_factors(
            lambda o, s=section: torch.optim.lr_scheduler.ReduceLROnPlateau(
                o,
                mode="min",
                factor=s.factor,
                patience=s.patience,
                threshold=s.threshold,
                threshold_mode="rel",
                min_lr=s.min_factor * LR,
                eps=0,
            ),
            LOSSES[:, r],
        )
        assert factors[-1, r] < 1, "the losses should have caused a fall"
        close(factors[:, r], expected)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_test_loss_that_is_no_number_is_no_improvement(value):
    odd, worse = LOSSES[:, :4].clone(), LOSSES[:, :4].clone()
    odd[50:60, 1] = value
    worse[50:60, 1] = 1e9
    factors, state = run(fleet("plateau"), odd)
    expected, expected_state = run(fleet("plateau"), worse)
    assert torch.equal(factors, expected)
    for key in state:
        assert torch.equal(state[key], expected_state[key]), key


@each_schedule
def test_same_bits_alone_and_in_a_fleet(name):
    sections = fleet(name, 64)
    if name == "step":  # with powers of many numbers
        sections = [StepDecay.Knobs(name="step", every=1, gamma=0.9 + r / 1000) for r in range(64)]
    steps = 30 if name in ("linear", "wsd") else STEPS
    factors, state = run(sections, LOSSES, steps)
    for size in (1, 3):
        for first in range(0, 64, size):
            part = slice(first, first + size)
            few, few_state = run(sections[part], LOSSES[:, part], steps)
            assert torch.equal(few, factors[:, part])
            for key, value in few_state.items():
                assert torch.equal(value, state[key][part]), key


@each_schedule
def test_state_and_factor_have_a_number_for_every_replica(name):
    program = build("schedule", fleet(name), steps=STEPS)
    before = program.init(4)
    factors, after = run(fleet(name), LOSSES[:, :4].float())
    assert factors.shape == (STEPS, 4)
    assert factors.dtype == torch.float64
    assert before.keys() == after.keys()
    for key in before:
        assert before[key].shape == after[key].shape == (4,)
        assert before[key].dtype == after[key].dtype


@each_schedule
def test_observe_is_out_of_place(name):
    program = build("schedule", fleet(name), steps=STEPS)
    _, state = run(fleet(name), LOSSES[:, :4])
    copies = {key: value.clone() for key, value in state.items()}
    program.observe(torch.full((4,), 1e-9, dtype=torch.float64), state)
    for key, value in state.items():
        assert torch.equal(value, copies[key]), key


min_factors = st.floats(0, 1)


@given(min_factors, st.integers(1, 500), st.data())
def test_cosine_stays_between_its_ends(min_factor, steps, data):
    section = Cosine.Knobs(name="cosine", min_factor=min_factor)
    program = build("schedule", [section], steps=steps)
    updates = data.draw(st.integers(0, steps - 1))
    factor = float(program.at(updates, program.init(1)))
    assert min_factor * (1 - 1e-15) <= factor <= 1 + 1e-15


@given(min_factors, st.integers(0, 600), st.integers(1, 500), st.data())
def test_warmup_cosine_stays_above_zero_and_at_most_one(min_factor, warmup, steps, data):
    section = WarmupCosine.Knobs(name="warmup_cosine", min_factor=min_factor, warmup_steps=warmup)
    program = build("schedule", [section], steps=steps)
    updates = data.draw(st.integers(0, steps - 1))
    factor = float(program.at(updates, program.init(1)))
    least = min_factor * (1 - 1e-15) if updates >= warmup else 0
    assert least <= factor <= 1 + 1e-15


@given(
    min_factors,
    st.floats(0.01, 0.99),
    st.integers(0, 3),
    st.lists(st.floats(0, 10), max_size=60),
)
def test_plateau_never_rises_nor_falls_below_its_least(min_factor, fall, patience, losses):
    section = Plateau.Knobs(
        name="plateau", factor=fall, patience=patience, threshold=0.01, min_factor=min_factor
    )
    program = build("schedule", [section], steps=1)
    state = program.init(1)
    before = 1.0
    for loss in losses:
        state = program.observe(torch.tensor([loss], dtype=torch.float64), state)
        factor = float(program.at(0, state))
        assert min_factor <= factor <= before
        before = factor
