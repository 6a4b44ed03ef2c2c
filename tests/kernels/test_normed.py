"""The closed forms of cells with a norm against autograd through the equations, in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hw2exp.config.groups import Model
from hw2exp.config.registry import CHOICES, equations
from hw2exp.kernels.choice import closed_form_of, has_closed_form
from hw2exp.kernels.normed.kinds import KINDS
from hw2exp.models.cells.attn_rnn import AttnRNNKnobs
from hw2exp.models.cells.rnn import ElmanRNNKnobs
from hw2exp.models.classifier import Classifier
from hw2exp.models.normalization.batch import BatchNorm
from hw2exp.models.normalization.layer import LayerNorm
from hw2exp.models.normalization.qk import QKNorm
from hw2exp.tasks.temporal_order import PAD

TOLERANCE = 1e-9  # a division by a small deviation magnifies what rounding leaves

MODELS = {
    "rnn": lambda H, K: ElmanRNNKnobs(name="rnn", hidden_size=H, nonlinearity="tanh"),
    "rnn_relu": lambda H, K: ElmanRNNKnobs(name="rnn", hidden_size=H, nonlinearity="relu"),
    "gated_rnn": lambda H, K: Model(name="gated_rnn", hidden_size=H),
    "lstm": lambda H, K: Model(name="lstm", hidden_size=H),
    "attn_rnn": lambda H, K: AttnRNNKnobs(name="attn_rnn", hidden_size=H, lags=K),
}
SAMPLE = {("rnn", "layer"), ("gated_rnn", "batch"), ("lstm", "batch"), ("attn_rnn", "qk")}
"""Compiling all takes two minutes; the others are compiled every night."""
ALL = [
    pytest.param(name, kind, marks=() if (name, kind) in SAMPLE else pytest.mark.nightly)
    for name in MODELS
    for kind in KINDS
    if kind != "qk" or name == "attn_rnn"
]
QUICK = [param for param in ALL if not param.marks]


def norm_of(kind, R):
    def each(first, last):
        return torch.linspace(first, last, R, dtype=torch.float64)

    return {
        "layer": lambda: LayerNorm(each(1, 0.3), each(1e-2, 1e-3)),
        "batch": lambda: BatchNorm(each(0.1, 0.5), each(1e-2, 1e-3)),
        "qk": lambda: QKNorm(each(1e-2, 1e-3)),
    }[kind]()


def make(name, kind, R, H=5, K=2, T=7, closed_form=True):
    options = MODELS[name](H, K)
    cell = equations("model", options.name)(options, PAD)
    norm = norm_of(kind, R)
    compiled = closed_form_of(cell, norm)
    assert compiled is not None
    return Classifier(cell, norm, T, closed_form=compiled if closed_form else None)


def problem(model, R, B, T, seed=0, padding=0):
    """Parameters with gains, statistics to test by, symbols with padding in front, labels."""
    g = torch.Generator().manual_seed(seed)

    def drawn(*shape):
        return torch.randn(shape, generator=g, dtype=torch.float64)

    params = {name: 0.5 * drawn(R, *weight.shape) for name, weight in model.weights().items()}
    gains = model.normalization.gains(model.cell.terms())
    params |= {name: drawn(R, *gain.shape) for name, gain in gains.items()}
    params = {name: value.requires_grad_() for name, value in params.items()}
    statistics = {}
    if model.normalization.over_batch:
        for name, term in model.cell.terms().items():
            for kind in ("mean", "variance"):
                statistics[f"{name}.{kind}"] = 0.5 + drawn(R, T, *term.shape).abs()
    symbols = torch.randint(0, PAD, (R, B, T), generator=g, dtype=torch.uint8)
    start = torch.randint(0, padding + 1, (R, B, 1), generator=g)
    symbols[torch.arange(T) < start] = PAD
    return params, statistics, symbols, torch.randint(0, 4, (R, B), generator=g, dtype=torch.uint8)


def everything(model, params, statistics, symbols, labels):
    """All that a pass gives: by name."""
    mean, right = model.mean_loss(params, symbols, labels)
    weights = torch.linspace(0.5, 2, len(mean), dtype=mean.dtype)
    grads = torch.autograd.grad(
        (mean * weights).sum(), list(params.values()), materialize_grads=True
    )
    losses, also_right, seen = model.losses(params, symbols, labels)
    assert seen.keys() == statistics.keys()
    tested, tested_right, _ = model.losses(params, symbols, labels, statistics)
    found = {"mean": mean, "right": right, "losses": losses, "also right": also_right}
    found |= {"tested": tested, "tested right": tested_right}
    found |= {f"gradient of {n}": g for n, g in zip(params, grads, strict=True)}
    return {n: v.detach() for n, v in (found | {f"{n} seen": b for n, b in seen.items()}).items()}


def assert_same(mine, theirs):
    assert mine.keys() == theirs.keys()
    for name, reference in theirs.items():
        size = max(1.0, float(reference.double().abs().max()))
        worst = float((mine[name].double() - reference.double()).abs().max())
        assert worst < TOLERANCE * size, name


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_closed_form_equals_autograd(name, kind):
    @given(
        H=st.integers(2, 9),
        K=st.integers(1, 4),
        R=st.integers(1, 3),
        B=st.integers(6, 35),  # of fewer, gradients grow until neither way keeps their digits
        T=st.integers(1, 9),
        seed=st.integers(0, 10**6),
        data=st.data(),
    )
    @settings(max_examples=15, database=None, derandomize=True)
    def holds(H, K, R, B, T, seed, data):
        fast = make(name, kind, R, H, K, T)
        plain = make(name, kind, R, H, K, T, closed_form=False)
        inputs = problem(plain, R, B, T, seed, data.draw(st.integers(0, T)))
        assert_same(everything(fast, *inputs), everything(plain, *inputs))

    holds()


@pytest.mark.parametrize(("name", "kind"), QUICK)
def test_the_gradient_of_every_state_is_kept(name, kind):
    fast, plain = make(name, kind, 2), make(name, kind, 2, closed_form=False)
    params, _, symbols, labels = problem(plain, 2, 18, 7, 3)
    states = []
    step = plain.cell.step

    def watch(*arguments):
        state, carry = step(*arguments)
        state.retain_grad()
        states.append(state)
        return state, tuple(state if c is state else c for c in carry)

    plain.cell.step = watch
    plain.mean_loss(params, symbols, labels)[0].sum().backward()
    expected = torch.stack([state.grad for state in states], 2)  # (R, B, T, H)
    fast.closed_form.keeps_state_gradients = True
    fast.mean_loss(params, symbols, labels)
    torch.testing.assert_close(
        fast.closed_form.state_gradients, expected, rtol=TOLERANCE, atol=TOLERANCE
    )
    flow = fast.gradient(params, symbols, labels, keeps_flow=True).flow  # (R, T)
    torch.testing.assert_close(
        flow, expected.square().sum((1, 3)).sqrt(), rtol=TOLERANCE, atol=TOLERANCE
    )


@pytest.mark.parametrize(("name", "kind"), QUICK)
@pytest.mark.parametrize("B", [9, 32])
def test_a_replica_has_its_bits_alone_and_beside_one_that_is_not_finite(name, kind, B):
    inputs = problem(make(name, kind, 3), 3, B, 7)
    with torch.no_grad():
        next(iter(inputs[0].values()))[1] = float("nan")
    among = everything(make(name, kind, 3), *inputs)
    assert among["losses"][1].isnan().any()
    norm = norm_of(kind, 3)
    for r in (0, 2):
        alone = make(name, kind, 1)
        fields = {
            key: value[r : r + 1] if torch.is_tensor(value) else value
            for key, value in vars(norm).items()
        }
        alone.norm = type(norm)(**fields)
        alone.closed_form.norm = alone.norm
        own = [{n: v[r : r + 1].detach().requires_grad_() for n, v in inputs[0].items()}]
        own += [{n: v[r : r + 1] for n, v in inputs[1].items()}]
        own += [value[r : r + 1] for value in inputs[2:]]
        found = everything(alone, *own)
        for key, value in found.items():
            weight = float(torch.linspace(0.5, 2, 3)[r]) / 0.5 if key.startswith("grad") else 1
            assert torch.equal(value[0] * weight, among[key][r]), key


@pytest.mark.parametrize(("name", "kind"), [("gated_rnn", "batch"), ("lstm", "batch")])
def test_lanes_without_a_sequence_are_no_part_of_the_batch(name, kind):
    """Eighteen sequences fill one group and two lanes of another."""
    fast, plain = make(name, kind, 1), make(name, kind, 1, closed_form=False)
    inputs = problem(plain, 1, 18, 7)
    before = everything(fast, *inputs)
    everything(fast, *problem(plain, 1, 32, 7, seed=1))  # leaves its traces in all lanes
    again = everything(fast, *inputs)
    assert all(torch.equal(before[key], again[key]) for key in before)
    assert_same(again, everything(plain, *inputs))


@pytest.mark.parametrize(("name", "kind"), [("gated_rnn", "batch"), ("lstm", "batch")])
@pytest.mark.parametrize("B", [30, 32])
def test_what_all_sequences_share_drives_no_update(name, kind, B):
    """At the last step every sequence shows the same symbol, whose weights must not walk."""
    model = make(name, kind, 1)
    params, _, symbols, labels = problem(model, 1, B, 7)
    params = {key: value.detach().float() for key, value in params.items()}
    model.normalization = model.closed_form.norm = BatchNorm(
        torch.tensor([0.1]), torch.tensor([1e-5])
    )
    last = PAD - 1
    symbols = symbols.remainder(last)  # the last symbol stands nowhere else
    symbols[..., -1] = last
    of = model.gradient(params, symbols, labels).of
    inputs = ["weight_ih"] if name == "lstm" else ["W_x", "W_c"]
    for key in inputs:
        assert not of[key][..., last].any(), key
        assert of[key][..., 0].any(), key


def test_which_models_have_one():
    assert set(KINDS) == set(CHOICES["norm"]) - {"none", "sigma_reparam"}
    models = {name: make_options(5, 2) for name, make_options in MODELS.items()}
    assert all(has_closed_form(options, "batch") for options in models.values())
    sigmoid = ElmanRNNKnobs(name="rnn", hidden_size=4, nonlinearity="sigmoid")
    endless = Model(name="attn_rnn_inf", hidden_size=4)
    own = Model(name="own", hidden_size=4)
    assert all(has_closed_form(each, "none") for each in (*models.values(), sigmoid, endless))
    assert not any(has_closed_form(each, "layer") for each in (sigmoid, endless, own))
    assert not has_closed_form(own, "none")
    cell = equations("model", "attn_rnn_inf")(endless, PAD)
    assert closed_form_of(cell, norm_of("layer", 1)) is None
