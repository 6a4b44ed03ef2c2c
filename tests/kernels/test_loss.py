"""The closed forms against autograd through the equations, in float64."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hw2exp.config.groups import Model
from hw2exp.config.registry import equations
from hw2exp.fleet.fleet import Fleet
from hw2exp.kernels.choice import closed_form_of
from hw2exp.models.cells.attn_rnn import AttnRNNKnobs
from hw2exp.models.cells.rnn import ElmanRNNKnobs
from hw2exp.models.classifier import Classifier
from hw2exp.models.normalization import Norm
from hw2exp.tasks.task import TRAIN
from hw2exp.tasks.temporal_order import PAD

TOLERANCE = 1e-10

MODELS = {
    "gated_rnn": lambda H, K: Model(name="gated_rnn", hidden_size=H),
    "attn_rnn": lambda H, K: AttnRNNKnobs(name="attn_rnn", hidden_size=H, lags=K),
    "attn_rnn_inf": lambda H, K: Model(name="attn_rnn_inf", hidden_size=H),
    "rnn": lambda H, K: ElmanRNNKnobs(name="rnn", hidden_size=H, nonlinearity="tanh"),
    "rnn_relu": lambda H, K: ElmanRNNKnobs(name="rnn", hidden_size=H, nonlinearity="relu"),
    "rnn_sigmoid": lambda H, K: ElmanRNNKnobs(name="rnn", hidden_size=H, nonlinearity="sigmoid"),
    "lstm": lambda H, K: Model(name="lstm", hidden_size=H),
}


def make(name, H=5, K=2, T=7, closed_form=True):
    options = MODELS[name](H, K)
    cell, norm = equations("model", options.name)(options, PAD), Norm()
    return Classifier(
        cell, norm, T, closed_form=closed_form_of(cell, norm) if closed_form else None
    )


def problem(model, R, B, T, scale, seed, padding=0):
    """Parameters, symbols with padding in front, labels."""
    g = torch.Generator().manual_seed(seed)
    params = {
        name: (scale * torch.randn(R, *weight.shape, generator=g, dtype=torch.float64))
        for name, weight in model.weights().items()
    }
    params = {name: value.requires_grad_() for name, value in params.items()}
    symbols = torch.randint(0, PAD, (R, B, T), generator=g, dtype=torch.uint8)
    start = torch.randint(0, padding + 1, (R, B, 1), generator=g)
    symbols[torch.arange(T) < start] = PAD
    return params, symbols, torch.randint(0, 4, (R, B), generator=g, dtype=torch.uint8)


def losses_and_gradients(model, params, symbols, labels):
    losses, right, _ = model.losses(params, symbols, labels)
    mean, also_right = model.mean_loss(params, symbols, labels)
    assert torch.equal(right, also_right)
    torch.testing.assert_close(mean, losses.mean(1), equal_nan=True)
    weights = torch.linspace(0.5, 2, len(mean), dtype=mean.dtype)
    grads = torch.autograd.grad(
        (mean * weights).sum(), list(params.values()), materialize_grads=True
    )
    return losses.detach(), right, grads


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("T", [3, 150])
def test_lanes_without_a_sequence_add_nothing_even_where_an_empty_input_would_overflow(name, T):
    fast, plain = make(name, T=T), make(name, T=T, closed_form=False)
    params, symbols, labels = problem(plain, 1, 5, T, 0.4, 0)
    with torch.no_grad():
        for bias in (value for key, value in params.items() if key.startswith("bias")):
            bias.fill_(3.0)
        if name == "rnn_relu":  # a bias alone doubles the state at every step; symbols stop it
            params["weight_ih"].fill_(-1e4)
            params["weight_hh"].copy_(2e3 * torch.eye(5, dtype=torch.float64)[None])
    _, _, grads = losses_and_gradients(fast, params, symbols, labels)
    _, _, expected = losses_and_gradients(plain, params, symbols, labels)
    for own, reference in zip(grads, expected, strict=True):
        assert reference.isfinite().all()
        torch.testing.assert_close(own, reference, rtol=TOLERANCE, atol=TOLERANCE)


def test_a_state_is_not_lost_beside_a_large_candidate():
    fast, plain = make("gated_rnn", T=20), make("gated_rnn", T=20, closed_form=False)
    params, symbols, labels = problem(plain, 2, 5, 20, 0.4, 0)
    with torch.no_grad():  # the symbol 0 is written; of the others, which are large, nothing is
        symbols[..., 0], symbols[..., 1:] = 0, symbols[..., 1:].clamp(min=1)
        params["W_x"][..., 1:] = 1e8
        params["W_c"][..., 0], params["W_c"][..., 1:] = -40, 40
    mine, _, grads = losses_and_gradients(fast, params, symbols, labels)
    theirs, _, expected = losses_and_gradients(plain, params, symbols, labels)
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=0)
    for own, reference in zip(grads, expected, strict=True):
        torch.testing.assert_close(own, reference, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
@given(
    H=st.integers(1, 9),
    K=st.integers(1, 6),
    R=st.integers(1, 3),
    B=st.integers(1, 35),
    T=st.integers(1, 12),
    scale=st.sampled_from([0.1, 0.4, 0.8]),
    seed=st.integers(0, 10**6),
    data=st.data(),
)
@settings(max_examples=25)
def test_closed_form_equals_autograd(name, H, K, R, B, T, scale, seed, data):
    fast, plain = make(name, H, K, T), make(name, H, K, T, closed_form=False)
    padding = data.draw(st.integers(0, T))
    inputs = problem(plain, R, B, T, scale, seed, padding)
    mine, right, grads = losses_and_gradients(fast, *inputs)
    theirs, also_right, expected = losses_and_gradients(plain, *inputs)
    torch.testing.assert_close(mine, theirs, rtol=TOLERANCE, atol=TOLERANCE)
    assert torch.equal(right, also_right)
    for parameter, own, reference in zip(inputs[0], grads, expected, strict=True):
        size = max(1.0, float(reference.abs().max()))
        assert float((own - reference).abs().max()) < TOLERANCE * size, parameter


@pytest.mark.parametrize("name", MODELS)
def test_closed_form_against_finite_differences(name):
    model = make(name, H=3, T=4)
    params, symbols, labels = problem(model, 2, 3, 4, 0.5, 0)

    def loss(*values):
        return model.mean_loss(dict(zip(params, values, strict=True)), symbols, labels)[0]

    assert torch.autograd.gradcheck(loss, tuple(params.values()))


@pytest.mark.parametrize("name", MODELS)
def test_every_state_and_its_gradient_are_kept(name):
    fast, plain = make(name), make(name, closed_form=False)
    params, symbols, labels = problem(plain, 2, 18, 7, 0.5, 3)
    states = []
    step = plain.cell.step

    def watch(*arguments):
        state, carry = step(*arguments)
        state.retain_grad()
        states.append(state)
        # What is carried must go through the state that is watched.
        return state, tuple(state if c is state else c for c in carry)

    plain.cell.step = watch
    plain.mean_loss(params, symbols, labels)[0].sum().backward()
    expected = torch.stack([state.grad for state in states], 2)  # (R, B, T, H)
    fast.mean_loss(params, symbols, labels)
    assert fast.closed_form.states is fast.closed_form.state_gradients is None
    fast.closed_form.keeps_state_gradients = True
    fast.mean_loss(params, symbols, labels)
    values = torch.stack(states, 2).detach()
    torch.testing.assert_close(fast.closed_form.states, values, rtol=TOLERANCE, atol=TOLERANCE)
    torch.testing.assert_close(
        fast.closed_form.state_gradients, expected, rtol=TOLERANCE, atol=TOLERANCE
    )
    plain.cell.step = step
    for model in (fast, plain):
        assert model.gradient(params, symbols, labels).flow is None
        flow = model.gradient(params, symbols, labels, keeps_flow=True).flow  # (R, T)
        norms = expected.square().sum((1, 3)).sqrt()
        torch.testing.assert_close(flow, norms, rtol=TOLERANCE, atol=TOLERANCE)


def test_a_flow_whose_square_is_too_large_for_single_precision():
    model = make("rnn")
    params, symbols, labels = problem(model, 2, 18, 7, 0.5, 1)
    single = {name: value.detach().float() for name, value in params.items()}
    single["weight_hh"][1] = 0
    single["readout_weight"][1] *= 1e25
    flow = model.gradient(single, symbols, labels, keeps_flow=True).flow  # (R, T)
    assert flow.dtype == torch.float64
    assert flow.isfinite().all()
    assert flow[1, -1] > 1e22


@pytest.mark.parametrize("name", MODELS)
def test_float32_is_near(name):
    fast, plain = make(name), make(name, closed_form=False)
    params, symbols, labels = problem(plain, 2, 32, 7, 0.5, 1)
    single = {n: p.detach().float().requires_grad_() for n, p in params.items()}
    mine, _, grads = losses_and_gradients(fast, single, symbols, labels)
    theirs, _, expected = losses_and_gradients(plain, params, symbols, labels)
    torch.testing.assert_close(mine.double(), theirs, rtol=1e-5, atol=1e-5)
    for own, reference in zip(grads, expected, strict=True):
        assert float((own - reference).abs().max()) < 1e-5 * max(1, float(reference.abs().max()))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_hidden(name, value):
    """In one replica; the other one has the bits it has without it."""
    model = make(name)
    params, symbols, labels = problem(model, 2, 9, 7, 0.5, 1)
    sound, _, sound_grads = losses_and_gradients(model, params, symbols, labels)
    broken = {n: p.detach().clone() for n, p in params.items()}
    first = next(iter(broken))
    broken[first][1] = value
    broken = {n: p.requires_grad_() for n, p in broken.items()}
    losses, correct, grads = losses_and_gradients(model, broken, symbols, labels)
    # A saturated tanh or ReLU of -∞ can be finite; a NaN can't.
    assert value == value or losses[1].isnan().any()
    assert not correct[1][losses[1].isnan()].any()
    assert torch.equal(losses[0], sound[0])
    for own, before in zip(grads, sound_grads, strict=True):
        assert torch.equal(own[0], before[0])


def test_scores_far_apart_stay_finite():
    for name in ("attn_rnn", "attn_rnn_inf"):
        fast, plain = make(name, T=12), make(name, T=12, closed_form=False)
        params, symbols, labels = problem(plain, 1, 16, 12, 0.5, 0)
        for own in ("Q_0", "K_0", "Q", "K"):
            if own in params:
                params[own].data *= 40
        mine, _, grads = losses_and_gradients(fast, params, symbols, labels)
        theirs, _, expected = losses_and_gradients(plain, params, symbols, labels)
        assert mine.isfinite().all()
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8)
        for own, reference in zip(grads, expected, strict=True):
            assert float((own - reference).abs().max()) < 1e-7 * max(
                1, float(reference.abs().max())
            )


def test_two_passes_do_not_disturb_each_other():
    model = make("gated_rnn")
    params, symbols, labels = problem(model, 1, 4, 7, 0.5, 0)
    _, _, expected = losses_and_gradients(model, params, symbols, labels)
    first = model.mean_loss(params, symbols, labels)[0].sum()
    model.mean_loss(params, symbols.flip(1), labels)
    grads = torch.autograd.grad(first * 0.5, list(params.values()))
    assert all(torch.equal(own, reference) for own, reference in zip(grads, expected, strict=True))


def test_many_sequences_are_judged_at_once():
    fast, plain = make("lstm"), make("lstm", closed_form=False)
    params, symbols, labels = problem(plain, 2, 100, 7, 0.5, 0)
    with torch.no_grad():
        mine, right, _ = fast.losses(params, symbols, labels)
        theirs, also_right, _ = plain.losses(params, symbols, labels)
    torch.testing.assert_close(mine, theirs)
    assert torch.equal(right, also_right)


@pytest.mark.parametrize("scale", [3e4, 1e5])
def test_lags_without_attention_add_nothing_in_an_explosion(compose, scale):
    """Values and gradients of 1e16 and more would make e⁻⁸⁷ count, if this were their share."""
    words = "model=attn_rnn", "model.lags=40", "model.hidden_size=1", "task=easy"
    largest = []
    for closed_form in (True, False):
        each = f"closed_form={closed_form}", "batch_size=17", "check_initial_loss=off"
        fleet = Fleet([compose(*words, *each, f"seed={seed}") for seed in range(3)])
        params = fleet.state.params * scale
        fleet.state = replace(fleet.state, params=params if closed_form else params.double())
        grads, back = fleet.loss_and_gradient(*fleet.batch(1, TRAIN, 17))
        assert back.loss.max() > 1e19
        largest.append(grads.double().abs().amax(1))
    torch.testing.assert_close(*largest, rtol=1e-4, atol=0)
