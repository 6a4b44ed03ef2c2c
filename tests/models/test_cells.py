"""The cells against their equations, written out one vector at a time."""

import math

import pytest
import torch

from hw2exp.config.groups import Model
from hw2exp.config.registry import CHOICES, equations
from hw2exp.models.cell import product, sigmoid, unroll
from hw2exp.models.cells.attn_rnn import AttnRNNKnobs as AttnOptions
from hw2exp.models.cells.rnn import ElmanRNNKnobs as RNNOptions
from hw2exp.models.normalization.protocol import NormPass
from tests.models.references import quadratic_states

HIDDEN, INPUTS, TIME = 5, 8, 9


def make(name, lags=2):
    options = {
        "attn_rnn": AttnOptions(name=name, hidden_size=HIDDEN, lags=lags)
        if name == "attn_rnn"
        else None,
        "rnn": RNNOptions(name=name, hidden_size=HIDDEN, nonlinearity="tanh")
        if name == "rnn"
        else None,
        "lru": CHOICES["model"]["lru"](
            name=name, hidden_size=HIDDEN + 1, r_min=0.5, r_max=0.9, max_phase=1.0
        ),
    }.get(name) or Model(name=name, hidden_size=HIDDEN)
    return equations("model", name)(options, INPUTS)


def draw(cell, replicas=2, batch=3):
    generator = torch.Generator().manual_seed(0)
    params = {
        name: torch.randn(replicas, *w.shape, generator=generator, dtype=torch.float64)
        for name, w in cell.weights().items()
    }
    x = torch.randn(replicas, TIME, batch, INPUTS, generator=generator, dtype=torch.float64)
    return params, x


def each_sequence(params, x):
    """One replica and one sequence at a time: its parameters and its vectors (T, I)."""
    for r in range(x.shape[0]):
        for b in range(x.shape[2]):
            yield r, b, {name: value[r] for name, value in params.items()}, x[r, :, b]


def softargmax(w):
    e = [math.exp(float(one)) for one in w]
    return [one / sum(e) for one in e]


def gated_rnn(p, x):
    h = torch.zeros(HIDDEN, dtype=x.dtype)
    for x_t in x:
        c = 1 / (1 + torch.exp(-(p["W_c"] @ x_t + p["W_h"] @ h)))
        h = c * h + (1 - c) * (p["W_x"] @ x_t)
        yield h


def attn_rnn(p, x, lags):
    past = [torch.zeros(HIDDEN, dtype=x.dtype)] * lags  # h[t-1], h[t-2], …
    for x_t in x:
        sources = [x_t, *past]
        w = [(p[f"Q_{i}"] @ s) @ (p[f"K_{i}"] @ s) for i, s in enumerate(sources)]
        a = softargmax(w)
        h = sum(a_i * (p[f"V_{i}"] @ s) for i, (a_i, s) in enumerate(zip(a, sources, strict=True)))
        past = [h, *past[:-1]]
        yield h


def attn_rnn_inf(p, x):
    past = []
    for x_t in x:
        sources = [p["E"] @ x_t, *past]
        a = softargmax([(p["Q"] @ s) @ (p["K"] @ s) for s in sources])
        h = sum(a_i * (p["V"] @ s) for a_i, s in zip(a, sources, strict=True))
        past = [h, *past]
        yield h


def mingru(p, x):
    h = torch.zeros(HIDDEN, dtype=x.dtype)
    for x_t in x:
        z = 1 / (1 + torch.exp(-(p["W_z"] @ x_t)))
        h = (1 - z) * h + z * (p["W_h"] @ x_t)
        yield h


def lru(p, x):
    n = len(p["nu_log"])
    eigenvalues = torch.exp(torch.complex(-p["nu_log"].exp(), p["theta_log"].exp()))
    B = torch.complex(p["B"][:n], p["B"][n:])
    s = torch.zeros(n, dtype=B.dtype)
    for x_t in x:
        s = eigenvalues * s + torch.exp(p["gamma_log"]) * (B @ x_t.to(B.dtype))
        yield torch.cat((s.real, s.imag))


def check(cell, equations):
    params, x = draw(cell)
    params = {name: value / 2 for name, value in params.items()}
    states = unroll(cell, params, x, NormPass())
    for r, b, own, sequence in each_sequence(params, x):
        for t, expected in enumerate(equations(own, sequence)):
            torch.testing.assert_close(states[t][r, b], expected, rtol=1e-12, atol=1e-12)


def test_gated_rnn_is_its_equations():
    check(make("gated_rnn"), gated_rnn)


@pytest.mark.parametrize("lags", [1, 2, 3, TIME + 2])
def test_attn_rnn_is_its_equations(lags):
    check(make("attn_rnn", lags), lambda p, x: attn_rnn(p, x, lags))


def test_attn_rnn_inf_is_its_equations():
    check(make("attn_rnn_inf"), attn_rnn_inf)


def test_mingru_is_its_equations():
    check(make("mingru"), mingru)


def test_lru_is_its_equations_in_complex_numbers():
    check(make("lru"), lru)


def test_running_softargmax_equals_the_quadratic_form():
    cell = make("attn_rnn_inf")
    params, x = draw(cell)
    params = {name: value.requires_grad_() for name, value in params.items()}
    weights = torch.randn(TIME, 2, 3, HIDDEN, dtype=torch.float64)
    results = []
    for states in (unroll(cell, params, x, NormPass()), quadratic_states(cell, params, x)):
        h = torch.stack(states)
        results.append((h, torch.autograd.grad((h * weights).sum(), list(params.values()))))
    (running, running_grads), (plain, plain_grads) = results
    torch.testing.assert_close(running, plain, rtol=1e-10, atol=1e-10)
    for mine, theirs in zip(running_grads, plain_grads, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8)


def test_running_softargmax_survives_scores_that_overflow_exp():
    cell = make("attn_rnn_inf")
    params, x = draw(cell)
    params = {name: value.float() * 30 for name, value in params.items()}
    states = torch.stack(unroll(cell, params, x.float(), NormPass()))
    assert states[:3].isfinite().all()


def test_attn_rnn_inf_is_attn_rnn_with_shared_weights_once_states_exist():
    """With as many lags as steps, and states before the first left out, (k) is (∞)."""
    cell = make("attn_rnn_inf")
    params, x = draw(cell, batch=1)
    one = {name: value[:1] for name, value in params.items()}
    first = unroll(cell, one, x[:1, :1], NormPass())[0]
    embedded = product(one["V"], product(one["E"], x[:1, 0]))
    torch.testing.assert_close(first, embedded)  # only x[1] exists, so a = 1


@pytest.mark.parametrize("name", CHOICES["model"])
def test_no_biases_where_the_equations_have_none(name):
    biases = [key for key, weight in make(name).weights().items() if weight.role == "bias"]
    assert bool(biases) == (name in ("rnn", "lstm", "gru"))


def test_sigmoid_is_torchs():
    x = torch.linspace(-50, 50, 1001, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(sigmoid(x), torch.sigmoid(x), rtol=0, atol=3e-16)
    assert torch.autograd.gradcheck(sigmoid, x[400:600:20].detach().requires_grad_())


@pytest.mark.parametrize("size", [1, 15, 31, 97])
def test_sigmoid_has_the_same_bits_alone_and_among_others(size):
    """What torch.sigmoid has not, and why there is one of our own."""
    x = torch.randn(64, size, generator=torch.Generator().manual_seed(0)) * 3
    together = sigmoid(x)
    assert all(
        torch.equal(sigmoid(row.clone()), mine) for row, mine in zip(x, together, strict=True)
    )


def test_sigmoid_and_its_gradient_stay_finite_at_the_ends():
    x = torch.tensor([-1e4, -100.0, 100.0, 1e4], requires_grad=True)
    y = sigmoid(x)
    y.sum().backward()
    assert y.tolist() == [0.0, 0.0, 1.0, 1.0]
    assert x.grad.tolist() == [0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", CHOICES["model"])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_replica_alone_has_the_bits_that_it_has_among_others(name, batch):
    """In single precision and at a width where MKL's routines differ; of a lone sequence too."""
    options = make(name).options.model_copy(update={"hidden_size": 32})
    cell, norm = equations("model", name)(options, INPUTS), NormPass()
    generator = torch.Generator().manual_seed(0)
    params = {
        key: torch.randn(3, *w.shape, generator=generator).mul_(0.3).requires_grad_()
        for key, w in cell.weights().items()
    }
    x = torch.randn(3, TIME, batch, INPUTS, generator=generator)
    states = unroll(cell, params, x, norm)
    gradients = torch.autograd.grad(states[-1].sum(), params.values())
    for r in range(3):
        own = {key: value[r : r + 1].detach().requires_grad_() for key, value in params.items()}
        alone = unroll(cell, own, x[r : r + 1], norm)
        assert torch.equal(torch.stack(alone), torch.stack(states)[:, r : r + 1])
        of_own = torch.autograd.grad(alone[-1].sum(), own.values())
        for key, one, other in zip(own, of_own, gradients, strict=True):
            assert torch.equal(one, other[r : r + 1]), key
