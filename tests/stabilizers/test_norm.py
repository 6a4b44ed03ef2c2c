import math

import pytest
import torch

from hw2exp.config.groups import AttnRNN as AttnOptions
from hw2exp.config.groups import Model
from hw2exp.models.attn_rnn import AttnRNN
from hw2exp.models.cell import unroll
from hw2exp.models.lstm import LSTM
from hw2exp.stabilizers.norm.batch import BatchNorm
from hw2exp.stabilizers.norm.layer import LayerNorm, QKNorm
from hw2exp.stabilizers.norm.protocol import Features

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
    mine = norm.forward(params, {}, TERMS, training=True)("c", z)
    for r, eps in enumerate((1e-5, 1e-3)):
        theirs = torch.nn.functional.layer_norm(
            z[r], (6,), params["gamma_c"][r], params["beta_c"][r], eps
        )
        torch.testing.assert_close(mine[r], theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("whole", [True, False], ids=["all steps at once", "step by step"])
def test_batch_norm_is_torchs_apart_for_every_time_step(whole):
    norm = BatchNorm(per_replica(0.1, 0.5), per_replica(0.1, 0.3), per_replica(1e-5, 1e-4))
    terms = {"x": TERMS["x"]}
    params = params_of(norm, terms, random=True)
    buffers = {name: b.double() for name, b in norm.buffers(terms, 4).items()}
    theirs = [[torch.nn.BatchNorm1d(6, eps, m).double() for _ in range(4)]
              for eps, m in ((1e-5, 0.1), (1e-4, 0.3))]  # fmt: skip
    for draw in range(3):
        z = values(2, 4, 7, 6) * (draw + 1)  # (R, T, B, F)
        now = norm.forward(params, buffers, terms, training=True)
        steps = () if whole else range(4)
        apart = [now.at(t)("x", z[:, t]) for t in steps]
        mine = torch.stack(apart, 1) if apart else now("x", z)
        buffers = now.statistics()
        for r in range(2):
            for t in range(4):
                expected = theirs[r][t](z[r, t]) * params["gamma_x"][r]
                torch.testing.assert_close(mine[r, t], expected, rtol=1e-10, atol=1e-10)
    for r in range(2):
        for t in range(4):
            reference = theirs[r][t]
            torch.testing.assert_close(buffers["x.mean"][r, t], reference.running_mean)
            torch.testing.assert_close(buffers["x.variance"][r, t], reference.running_var)
            tested = norm.forward(params, buffers, terms, training=False)
            out = tested("x", z)[r, t] if whole else tested.at(t)("x", z[:, t])[r]
            expected = reference.eval()(z[r, t]) * params["gamma_x"][r]
            torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)


def test_batch_norm_starts_at_the_papers_gain():
    norm = BatchNorm(per_replica(0.1), per_replica(0.1), per_replica(1e-5))
    params = params_of(norm, TERMS)
    assert params["gamma_x"].unique().tolist() == [0.1]
    assert params["beta_c"].unique().tolist() == [0.0]
    assert "beta_x" not in params  # the cell's own bias serves


def test_batch_norm_lstm_is_cooijmans_equations():
    """Eq. 6-8 of the paper, written out for one replica, in training mode."""
    cell = LSTM(Model(name="lstm", hidden_size=4), 8)
    norm = BatchNorm(per_replica(0.1), per_replica(0.1), per_replica(1e-5))
    gains = params_of(norm, cell.terms(), random=True)
    params = {
        name: torch.randn(1, *weight.shape, dtype=torch.float64)
        for name, weight in cell.weights().items()
    } | gains
    x = values(1, 5, 6, 8)
    states = unroll(cell, params, x, norm.forward(params, {}, cell.terms(), training=True))
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
    q, k, v = norm.forward(params, {}, terms, training=True)("h", qkv).unbind(2)
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
        "batch": BatchNorm(per_replica(0.1), per_replica(0.1), one),
        "layer": LayerNorm(per_replica(1.0), one),
        "qk": QKNorm(one),
    }[kind]
    cell = AttnRNN(AttnOptions(name="attn_rnn", hidden_size=6, lags=2), 8)
    params = params_of(norm, cell.terms()) | {
        name: torch.randn(1, *w.shape, dtype=torch.float64) for name, w in cell.weights().items()
    }
    x = torch.zeros(1, 3, 4, 8, dtype=torch.float64)
    states = unroll(cell, params, x, norm.forward(params, {}, cell.terms(), training=True))
    assert not torch.stack(states).any()
