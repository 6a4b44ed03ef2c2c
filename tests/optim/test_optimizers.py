"""The optimizers against torch's own, and a replica alone against the same one in a fleet."""

import pytest
import torch

from hw2exp.models.axes import Layout
from hw2exp.models.hyperparameters import build as build_choice
from hw2exp.optim.named import in_rows
from hw2exp.optim.optimizers import adam, formulas, rmsprop, sgd
from hw2exp.optim.optimizers.adam import Adam
from hw2exp.optim.optimizers.lion import Lion
from hw2exp.optim.optimizers.muon import Muon
from hw2exp.optim.optimizers.rmsprop import RMSprop
from hw2exp.optim.optimizers.sgd import SGD
from hw2exp.optim.optimizers.spam import SPAM
from hw2exp.optim.optimizers.stable_adamw import StableAdamW
from hw2exp.optim.optimizers.stable_spam import StableSPAM

LAYOUT = Layout({"weight_ih": (5, 3), "readout_weight": (4, 2), "bias": (5,), "square": (3, 3)})
REPLICAS, NUMBERS, STEPS = 4, 37, 100

# One value a replica; a replica more than values starts over.
LR = (0.1, 0.003, 0.02, 0.05)
NO_DECAY = (0.0,)
DECAY = (0.0, 0.01, 0.3, 0.002)
MOMENTUM = (0.9, 0.0, 0.5, 0.99)
ALPHA = (0.99, 0.9, 0.5, 0.0)
EPS = (1e-8, 1e-4, 1e-2, 1e-6)
BETA1 = (0.9, 0.0, 0.5, 0.95)
BETA2 = (0.999, 0.99, 0.9, 0.0)

DECOUPLED = {"decoupled": True}
RESETS = {"reset_every": (30, 7, 50, 1000)}
SPIKES = {"threshold": (5000.0, 2.0, 4.0, 1.5), "warmup_steps": (10, 3, 0, 9),
          "clip_after": (5, 2, 20, 1)}  # fmt: skip
GAMMAS = {"gamma1": (0.7, 0.0, 0.9, 0.5), "gamma2": (0.9, 0.99, 0.0, 0.5),
          "gamma3": (0.999, 0.9, 0.5, 0.0)}  # fmt: skip
MUON = {"momentum": MOMENTUM, "adam_lr": (0.003, 0.1, 0.02, 0.01)}

CASES = {
    "sgd": (SGD.Knobs, {"momentum": NO_DECAY}, {"nesterov": False}, NO_DECAY),
    "sgd decay": (SGD.Knobs, {"momentum": NO_DECAY}, {"nesterov": False}, DECAY),
    "sgd momentum": (SGD.Knobs, {"momentum": MOMENTUM}, {"nesterov": False}, DECAY),
    "sgd nesterov": (SGD.Knobs, {"momentum": (0.9, 0.1, 0.5, 0.99)}, {"nesterov": True}, DECAY),
    "rmsprop": (RMSprop.Knobs, {"momentum": NO_DECAY}, {"centered": False}, NO_DECAY),
    "rmsprop decay": (RMSprop.Knobs, {"momentum": NO_DECAY}, {"centered": False}, DECAY),
    "rmsprop momentum": (RMSprop.Knobs, {"momentum": MOMENTUM}, {"centered": False}, DECAY),
    "rmsprop centered": (
        RMSprop.Knobs,
        # At alpha 0 the deviation is the rounding of g² - g², which is nothing to compare.
        {"momentum": MOMENTUM, "alpha": (0.99, 0.9, 0.5, 0.3)},
        {"centered": True},
        DECAY,
    ),
    "adam": (Adam.Knobs, {}, {"decoupled": False}, NO_DECAY),
    "adam decay": (Adam.Knobs, {}, {"decoupled": False}, DECAY),
    "adamw": (Adam.Knobs, {}, {"decoupled": True}, DECAY),
    "stable_adamw": (StableAdamW.Knobs, {"max_rms": (1.0, 0.5, 2.0, 0.1)}, DECOUPLED, DECAY),
    "spam": (SPAM.Knobs, RESETS | SPIKES, DECOUPLED, DECAY),
    "stable_spam": (StableSPAM.Knobs, RESETS | GAMMAS, DECOUPLED, DECAY),
    "lion": (Lion.Knobs, {}, {}, DECAY),
    "muon": (Muon.Knobs, MUON, {"nesterov": True, "iterations": 3}, DECAY),
}
OTHERS = {
    SGD.Knobs: {},
    RMSprop.Knobs: {"alpha": ALPHA, "eps": EPS},
    Adam.Knobs: {"beta1": BETA1, "beta2": BETA2, "eps": EPS},
    Lion.Knobs: {"beta1": BETA1, "beta2": BETA2},
}
OTHERS |= dict.fromkeys((StableAdamW.Knobs, SPAM.Knobs, StableSPAM.Knobs), OTHERS[Adam.Knobs])
OTHERS |= {Muon.Knobs: OTHERS[Adam.Knobs]}
TORCH = (SGD.Knobs, RMSprop.Knobs, Adam.Knobs)

each_case = pytest.mark.parametrize("case", CASES)
each_of_torch = pytest.mark.parametrize(
    "case", [case for case, (section, *_) in CASES.items() if section in TORCH]
)


def build(group, sections):
    return in_rows(build_choice(group, sections), LAYOUT)


def options(case, replicas=REPLICAS):
    """The config sections of a fleet whose replicas differ in every knob of the case."""
    section, knobs, flags, decay = CASES[case]
    knobs = {"lr": LR, "weight_decay": decay, **OTHERS[section], **knobs}
    return [
        section(
            name=case.split()[0],
            **flags,
            **{name: values[r % len(values)] for name, values in knobs.items()},
        )
        for r in range(replicas)
    ]


def torch_optimizer(section, param):
    """Torch's optimizer with the knobs of one replica."""
    knobs = section.model_dump(exclude={"name"})
    if isinstance(section, SGD.Knobs):
        return torch.optim.SGD([param], **knobs)
    if isinstance(section, RMSprop.Knobs):
        return torch.optim.RMSprop([param], **knobs)
    knobs["betas"] = knobs.pop("beta1"), knobs.pop("beta2")
    decoupled = knobs.pop("decoupled")
    return (torch.optim.AdamW if decoupled else torch.optim.Adam)([param], **knobs)


def draw(replicas, dtype, steps=STEPS):
    """Start (R, P) and gradients (steps, R, P) of very different sizes."""
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(replicas, NUMBERS, generator=generator, dtype=torch.float64)
    grads = torch.randn(steps, replicas, NUMBERS, generator=generator, dtype=torch.float64)
    sizes = torch.randn(NUMBERS, generator=generator, dtype=torch.float64).exp()
    return start.to(dtype), (grads * sizes).to(dtype)


def factor(step):
    """A schedule's factor, so that the learning rate is not the one of the start."""
    return 1 / (1 + 0.1 * step)


def run(sections, start, grads):
    """The parameters after every update, (steps, R, P), and the last state."""
    program = build("optimizer", sections)
    params, state = start, program.init(start)
    history = []
    for step, g in enumerate(grads):
        params, state = program.update(params, g, state, program.lr * factor(step))
        history.append(params)
    return torch.stack(history), state


@each_of_torch
def test_equals_torch(case):
    sections = options(case)
    start, grads = draw(REPLICAS, torch.float64)
    ours, _ = run(sections, start, grads)
    for r, section in enumerate(sections):
        param = torch.nn.Parameter(start[r].clone())
        theirs = torch_optimizer(section, param)
        for step in range(STEPS):
            theirs.param_groups[0]["lr"] = section.lr * factor(step)
            param.grad = grads[step, r].clone()
            theirs.step()
            scale = param.detach().abs().max()
            error = (ours[step, r] - param.detach()).abs().max() / scale
            assert error < 1e-12, f"replica {r}, step {step}"


@each_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_bits_alone_and_in_a_fleet(case, dtype):
    sections = options(case, 64)
    start, grads = draw(64, dtype, STEPS if CASES[case][0] in TORCH else 16)
    fleet, fleet_state = run(sections, start, grads)
    for size in (1, 3):
        for first in (0, 1, 2, 30, 64 - size):
            part = slice(first, first + size)
            few, few_state = run(sections[part], start[part], grads[:, part])
            assert torch.equal(few, fleet[:, part])
            for name, value in few_state.items():
                assert torch.equal(value, fleet_state[name][part]), name


def test_bias_correction_has_the_same_bits_alone_and_in_a_fleet():
    beta = torch.linspace(0.5, 0.9999, 64, dtype=torch.float64)
    for t in range(1, 300):
        updates = torch.full_like(beta, t)
        fleet = formulas.bias_correction(beta, updates)
        alone = [formulas.bias_correction(beta[r : r + 1], updates[:1]) for r in range(64)]
        assert torch.equal(fleet, torch.cat(alone)), f"update {t}"


@each_case
def test_state_has_a_row_for_every_replica(case):
    start, grads = draw(REPLICAS, torch.float32, 1)
    sections = options(case)
    before = build("optimizer", sections).init(start)
    _, after = run(sections, start, grads)
    assert before.keys() == after.keys()
    for name in before:
        assert before[name].shape == after[name].shape
        assert before[name].dtype == after[name].dtype
        assert before[name].shape[0] == REPLICAS


@each_case
def test_update_is_out_of_place(case):
    sections = options(case)
    program = build("optimizer", sections)
    start, grads = draw(REPLICAS, torch.float32, 3)
    _, state = run(sections, start, grads)
    arguments = {"params": start, "grads": grads[0], "lr": program.lr, **state}
    copies = {name: value.clone() for name, value in arguments.items()}
    program.update(start, grads[0], state, program.lr)
    for name, value in arguments.items():
        assert torch.equal(value, copies[name]), name


@each_case
def test_a_broken_replica_does_not_touch_its_neighbors(case):
    sections = options(case)
    start, grads = draw(REPLICAS, torch.float32)
    sound, _ = run(sections, start, grads)
    broken_grads = grads.clone()
    broken_grads[10, 1] = torch.nan
    broken_grads[10, 2, 5] = torch.inf
    broken, _ = run(sections, start, broken_grads)
    assert torch.equal(broken[:, [0, 3]], sound[:, [0, 3]])
    assert not broken[-1, 1].isfinite().any()
    hides_infinity = case == "spam"  # as clipping by value does
    assert hides_infinity or not broken[-1, 2, 5].isfinite()


def test_zero_momentum_and_zero_decay_are_none_at_all():
    sections = [
        SGD.Knobs(name="sgd", lr=0.1, weight_decay=w, momentum=m, nesterov=False)
        for w, m in ((0.0, 0.0), (0.5, 0.9))
    ]
    start, grads = draw(2, torch.float32)
    start[0, 0] = 3e38  # so that a decay of 0 would show, were it more than nothing
    ours, _ = run(sections, start, grads)
    params = start[0]
    for step, g in enumerate(grads[:, 0]):
        rate = torch.tensor(0.1 * factor(step), dtype=torch.float64).float()
        params = params - rate * g
        assert torch.equal(ours[step, 0], params)


@each_case
def test_zero_decay_does_not_look_at_the_parameters(case):
    section = options(case)[0]
    assert section.weight_decay == 0
    program = build("optimizer", [section])
    start, grads = draw(1, torch.float32, 1)
    start[0, 0] = torch.inf
    _, state = program.update(start, grads[0], program.init(start), program.lr)
    assert all(value.isfinite().all() for value in state.values())


def test_adam_counts_every_replica_for_itself():
    """A replica that was held back goes on as if the others had not gone ahead."""
    sections = options("adam decay", 2)
    program = build("optimizer", sections)
    start, grads = draw(2, torch.float32, 5)
    params, state = start, program.init(start)
    for g in grads[:3]:
        ahead, ahead_state = program.update(params, g, state, program.lr)
        # Only replica 0 takes the step.
        params = torch.stack([ahead[0], params[1]])
        state = {name: torch.stack([ahead_state[name][0], state[name][1]]) for name in state}
    both, _ = program.update(params, grads[3], state, program.lr)

    alone = build("optimizer", sections[1:])
    first, _ = alone.update(start[1:], grads[3, 1:], alone.init(start[1:]), alone.lr)
    assert torch.equal(both[1:], first)


@each_of_torch
def test_the_preconditioner_is_what_torch_divides_by(case):
    sections = options(case)
    start, grads = draw(REPLICAS, torch.float64, 7)
    _, state = run(sections, start, grads)
    ours = build("optimizer", sections).preconditioner(state)
    for r, section in enumerate(sections):
        param = torch.nn.Parameter(start[r].clone())
        theirs = torch_optimizer(section, param)
        for step, g in enumerate(grads[:, r]):
            theirs.param_groups[0]["lr"] = section.lr * factor(step)
            param.grad = g.clone()
            theirs.step()
        kept = theirs.state[param]
        if isinstance(section, SGD.Knobs):
            expected = torch.ones_like(param)
        elif isinstance(section, RMSprop.Knobs):
            mean = kept["grad_avg"] if section.centered else 0
            expected = (kept["square_avg"] - mean**2).sqrt() + section.eps
        else:
            unbiased = kept["exp_avg_sq"] / (1 - section.beta2 ** float(kept["step"]))
            expected = unbiased.sqrt() + section.eps
        torch.testing.assert_close(ours[r], expected.detach(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("case", ["spam", "stable_spam", "muon", "lion"])
def test_a_spike_of_1e30_leaves_parameters_and_state_finite(case):
    """With Adam the squares overflow; here a spike is cut before, or no square is kept of it."""
    usual = {"gamma1": 0.7, "gamma2": 0.9} if case == "stable_spam" else {}
    sections = [section.model_copy(update=usual) for section in options(case)]
    start, grads = draw(REPLICAS, torch.float32, 60)
    grads[25, :, : NUMBERS if case != "muon" else 15] *= 1e30  # Muon's AdamW is AdamW
    params, state = run(sections, start, grads)
    assert params.isfinite().all()
    assert all(value.isfinite().all() for value in state.values())


@pytest.mark.parametrize("case", ["stable_adamw", "spam", "stable_spam", "muon", "lion"])
def test_a_gradient_of_zero_moves_nothing_at_first(case):
    section = options(case)[0]
    start, grads = draw(1, torch.float32, 60)
    params, _ = run([section], start, grads * 0)
    assert torch.equal(params[-1], start)
    params, _ = run([section], start, torch.cat([grads[:20] * 0, grads[20:]]))
    assert params.isfinite().all()
    assert (params[-1] != start).all(), "what was not seen at first moves later"


def test_muon_leaves_the_readout_the_gains_and_vectors_to_adamw():
    sections = [s.model_copy(update={"lr": 1e9}) for s in options("muon")]
    shapes = {"W": (3, 4), "readout_weight": (4, 3), "gamma_x": (3, 4), "beta_x": (3, 4), "b": (3,)}
    program = build_choice("optimizer", sections)
    params = {name: torch.ones(REPLICAS, *shape) for name, shape in shapes.items()}
    moved, _ = program.update(params, params, program.init(params), program.lr)
    assert {name for name, p in moved.items() if p.abs().max() > 100} == {"W"}


def test_adamw_by_name_is_adam_with_decoupled_decay():
    by_name, by_knob = options("adamw"), options("adam decay")
    assert [s.name for s in by_name] == ["adamw"] * REPLICAS
    by_knob = [s.model_copy(update=DECOUPLED) for s in by_knob]
    start, grads = draw(REPLICAS, torch.float32)
    assert torch.equal(run(by_name, start, grads)[0], run(by_knob, start, grads)[0])


MU = torch.tensor([0.0, 0.1, 0.5, 0.9, 0.95], dtype=torch.float64)
RATE = torch.tensor([0.1, 3.0, 0.02, 0.5, 1e-3], dtype=torch.float64)
ALMOST_ONE = torch.full_like(MU, 1 - 1e-13)  # a mean that stays what it is
NONE = torch.zeros_like(MU)
ON_A_QUADRATIC = {
    "sgd": (sgd.SGD(RATE, NONE, MU, False), {}),
    "nesterov": (sgd.SGD(RATE, NONE, MU, True), {}),
    "rmsprop": (rmsprop.RMSprop(RATE, NONE, ALMOST_ONE, NONE + 0.1, MU, False), {}),
    "centered": (rmsprop.RMSprop(RATE, NONE, ALMOST_ONE, NONE + 0.1, MU, True), {"mean": 0.7}),
    "adam": (
        adam.Adam(RATE, NONE, MU, ALMOST_ONE, NONE + 0.1, False),
        {"updates": 1e16},  # no bias is left
    ),
}


@pytest.mark.parametrize("kind", ON_A_QUADRATIC)
@pytest.mark.parametrize("times", [0.97, 1.03])
def test_updates_on_a_quadratic_converge_below_the_stability_limit_and_diverge_above(kind, times):
    """Where the gradient is λ θ, and the preconditioner held where it was set."""
    program, start = ON_A_QUADRATIC[kind]
    params = torch.full((len(MU), 1), 1e-3, dtype=torch.float64)
    state = program.init(params)
    for name, value in {"mean_square": 2.0, **start}.items():
        if name in state:
            state[name] += value
    scale = program.preconditioner(state)
    curvature = times * program.stability_limit(RATE)[:, None] * scale  # (R, 1)
    sizes = []
    for _ in range(1200 if times < 1 else 200):
        params, state = program.update(params, curvature * params, state, RATE)
        sizes.append(params.abs())
        if kind == "centered":
            state["mean"] = torch.full_like(params, 0.7)
    if times < 1:
        assert (torch.stack(sizes[-20:]) < 1e-9).all()
    else:  # until the preconditioner can't be held any longer
        assert (torch.stack(sizes).amax(0) > 1).all()


def test_unequal_shared_knobs_are_refused():
    sections = [
        SGD.Knobs(name="sgd", lr=0.1, weight_decay=0.0, momentum=0.9, nesterov=nesterov)
        for nesterov in (False, True)
    ]
    with pytest.raises(ValueError, match="nesterov"):
        build("optimizer", sections)
