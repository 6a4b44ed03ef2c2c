import math

import pytest
import torch

from hw2exp.config.groups import Model
from hw2exp.models.cell import unroll
from hw2exp.models.cells.attn_rnn import AttnRNN
from hw2exp.models.cells.attn_rnn import AttnRNNKnobs as AttnOptions
from hw2exp.models.cells.lstm import LSTM
from hw2exp.models.normalization.batch import BatchNorm
from hw2exp.models.normalization.layer import LayerNorm
from hw2exp.models.normalization.protocol import Features
from hw2exp.models.normalization.qk import QKNorm

TERMS = {"x": Features((6,)), "c": Features((6,), shift=True)}


def per_replica(*values):
    return torch.tensor(values, dtype=torch.float64)


def params_of(norm, terms, random=False):
    generator = torch.Generator().manual_seed(0)
    params = {}
    for name, gain in norm.gains(terms).items():
        value = gain.start.reshape(-1, *[1] * len(gain.shape)).repeat(1, *gain.shape)
        if random:
            value = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        params[name] = value
    return params


def values(*shape):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(shape, generator=generator, dtype=torch.float64) * 3 + 1


def test_layer_norm_is_torchs():
    norm = LayerNorm(gamma=per_replica(1.0, 0.1), eps=per_replica(1e-5, 1e-3))
    params = params_of(norm, TERMS, random=True)
    z = values(2, 7, 6)
    mine = norm.forward(params, TERMS)("c", z)
    for r, eps in enumerate((1e-5, 1e-3)):
        theirs = torch.nn.functional.layer_norm(
            z[r], (6,), params["gamma_c"][r], params["beta_c"][r], eps
        )
        torch.testing.assert_close(mine[r], theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("whole", [True, False], ids=["all steps at once", "step by step"])
def test_batch_norm_is_torchs_apart_for_every_time_step(whole):
    epsilons = 1e-5, 1e-4
    norm = BatchNorm(per_replica(0.1, 0.5), per_replica(*epsilons))
    terms = {"x": TERMS["x"]}
    params = params_of(norm, terms, random=True)
    z, other = values(2, 4, 7, 6), values(2, 4, 7, 6) * 2 + 1  # (R, T, B, F)

    def normalized(value, statistics=None):
        now = norm.forward(params, terms, statistics)
        if whole:
            return now("x", value), now
        return torch.stack([now.at(t)("x", value[:, t]) for t in range(4)], 1), now

    mine, seen = normalized(z)
    tested, _ = normalized(other, seen.statistics())
    for r, eps in enumerate(epsilons):
        for t in range(4):
            reference = torch.nn.BatchNorm1d(6, eps, momentum=1.0).double()  # keeps the last batch
            gain = params["gamma_x"][r]
            torch.testing.assert_close(mine[r, t], reference(z[r, t]) * gain)
            expected = reference.eval()(other[r, t]) * gain
            torch.testing.assert_close(tested[r, t], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [3, 30, 32])
def test_a_feature_that_all_sequences_share_is_zero_and_has_no_gradient(size):
    """Whatever rounding the mean of so many equal numbers has."""
    norm = BatchNorm(torch.tensor([0.1]), torch.tensor([1e-5]))
    terms = {"x": Features((2,))}
    params = {name: value.float() for name, value in params_of(norm, terms).items()}
    z = torch.randn(1, size, 2, generator=torch.Generator().manual_seed(0))
    z[..., 0] = 0.1  # of 30 of them the mean in float32 is another number
    z.requires_grad_()
    now = norm.forward(params, terms).at(0)
    out = now("x", z)
    out.square().sum().backward()
    assert not out[..., 0].any()
    assert out[..., 1].all()
    assert not z.grad[..., 0].any()
    assert z.grad[..., 1].any()
    assert now.statistics()["x.variance"][0, 0, 0] == 0
    tested = norm.forward(params, terms, now.statistics()).at(0)("x", z + 1)
    assert not tested[..., 0].any()  # a value unlike all that was seen is not divided by √ε
    assert tested[..., 1].all()


def test_a_feature_that_is_not_finite_is_not_taken_for_one_that_all_share():
    norm = BatchNorm(per_replica(0.1), per_replica(1e-5))
    terms = {"x": Features((1,))}
    z = torch.full((1, 4, 1), float("nan"), dtype=torch.float64)
    assert norm.forward(params_of(norm, terms), terms).at(0)("x", z).isnan().all()


def test_batch_norm_starts_at_the_papers_gain():
    norm = BatchNorm(per_replica(0.1), per_replica(1e-5))
    params = params_of(norm, TERMS)
    assert params["gamma_x"].unique().tolist() == [0.1]
    assert params["beta_c"].unique().tolist() == [0.0]
    assert "beta_x" not in params  # the cell's own bias serves


def test_batch_norm_lstm_is_cooijmans_equations():
    """Eq. 6-8 of the paper, written out for one replica, in training mode."""
    cell = LSTM(Model(name="lstm", hidden_size=4), 8)
    norm = BatchNorm(per_replica(0.1), per_replica(1e-5))
    gains = params_of(norm, cell.terms(), random=True)
    params = {
        name: torch.randn(1, *weight.shape, dtype=torch.float64)
        for name, weight in cell.weights().items()
    } | gains
    x = values(1, 5, 6, 8)
    states = unroll(cell, params, x, norm.forward(params, cell.terms()))
    one = {name: value[0] for name, value in params.items()}

    def bn(z, term):
        scaled = (z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt()
        return one[f"gamma_{term}"] * scaled + one.get(f"beta_{term}", 0)

    h = c = torch.zeros(6, 4, dtype=torch.float64)
    for t in range(5):
        z = (
            bn(h @ one["weight_hh"].T, "weight_hh")
            + bn(x[0, t] @ one["weight_ih"].T, "weight_ih")
            + one["bias_ih"]
            + one["bias_hh"]
        )
        i, f, g, o = z.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * bn(c, "c").tanh()
        torch.testing.assert_close(states[t][0], h, rtol=1e-9, atol=1e-9)


def test_qk_norm_bounds_the_scores_however_large_the_state():
    cell = AttnRNN(AttnOptions(name="attn_rnn", hidden_size=6, lags=2), 8)
    norm = QKNorm(per_replica(1e-5))
    terms = cell.terms()
    params = params_of(norm, terms)
    qkv = values(1, 7, 3, 2, 6) * 1e6
    q, k, v = norm.forward(params, terms)("h", qkv).unbind(2)
    scores = (q * k).sum(-1)
    assert scores.abs().max() <= math.sqrt(6) + 1e-9  # |LN|² / √H = H / √H
    assert torch.equal(v, qkv[:, :, 2])
    expected = torch.nn.functional.layer_norm(qkv[:, :, 0], (6,)) * 6**-0.25
    torch.testing.assert_close(q, expected)


@pytest.mark.parametrize("kind", ["batch", "layer", "qk"])
def test_zero_states_stay_zero(kind):
    """Padding is a zero vector, and a normalization may not invent a signal there."""
    one = per_replica(1e-5)
    norm = {
        "batch": BatchNorm(per_replica(0.1), one),
        "layer": LayerNorm(per_replica(1.0), one),
        "qk": QKNorm(one),
    }[kind]
    cell = AttnRNN(AttnOptions(name="attn_rnn", hidden_size=6, lags=2), 8)
    params = params_of(norm, cell.terms()) | {
        name: torch.randn(1, *w.shape, dtype=torch.float64) for name, w in cell.weights().items()
    }
    x = torch.zeros(1, 3, 4, 8, dtype=torch.float64)
    states = unroll(cell, params, x, norm.forward(params, cell.terms()))
    assert not torch.stack(states).any()
