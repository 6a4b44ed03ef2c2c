"""The signals of a state, each against a plain second computation."""

import math

import numpy as np
import pytest
import torch

from hw2exp.diagnostics.sharpness import exact_product
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train_step
from hw2exp.models.cell import GATE, SCORES, run
from hw2exp.records.signals import SIGNALS
from hw2exp.tasks.task import TRAIN
from hw2exp.tasks.temporal_order import PAD
from hw2exp.whatif.signals import History, cumulative_sum, measure

SMALL = (
    "task=easy", "model.hidden_size=3", "batch_size=4", "closed_form=false", "steps=200",
    "optimizer.lr=0.01", "spikes.window=21",
)  # fmt: skip
STEP = 71


def trained(config, steps=STEP - 1):
    """A run after some steps, and their losses and gradient norms."""
    fleet = Fleet([config])
    made = [train_step(fleet, step) for step in range(1, steps + 1)]
    losses, grads = ([float(getattr(m, name)) for m in made] for name in ("loss", "grad_norm_raw"))
    return fleet, History(np.array(losses), np.array(grads))


def deviation(losses, window):
    """The last loss above the median of those before it."""
    before = losses[-window - 1 : -1]
    spread = np.median(np.abs(before - np.median(before)))
    return (losses[-1] - np.median(before)) / (1.4826 * spread)


def hessian(fleet, batch):
    at = fleet.state.params.double()
    product = exact_product(fleet, at, *batch)
    return torch.cat([product(row[None]) for row in torch.eye(at.shape[1]).double()])


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["model=attn_rnn", "optimizer=rmsprop"],
        ["model=gated_rnn", "optimizer=adam", "clip=value", "clip.max_value=0.01"],
    ],
)
def test_each_signal(compose, words):
    fleet, history = trained(compose(*SMALL, *words))
    found = measure(fleet, STEP, history)
    assert list(found) == list(SIGNALS)

    heights = [deviation(history.losses[: n + 1], 21) for n in range(STEP - 22, STEP - 1)]
    assert found["loss"] == pytest.approx(heights[-1])
    total = 0.0
    for height in heights:
        total = max(0.0, total + height - 0.5)
    assert found["loss_cusum"] == pytest.approx(total)

    norms = history.grad_norms
    assert found["last_gradient"] == pytest.approx(norms[-1] / np.median(norms[-52:-1]))
    batch = fleet.batch(STEP, TRAIN, 4)
    grads, back = fleet.loss_and_gradient(*batch, keeps_flow=True)
    assert found["gradient"] == pytest.approx(float(grads.norm()) / np.median(norms[-51:]))
    slope, _ = np.polyfit(range(back.flow.shape[1]), np.log(back.flow[0].numpy()[::-1]), 1)
    assert found["gradient_growth"] == pytest.approx(math.exp(slope), rel=1e-5)

    matrix = hessian(fleet, batch)
    norm, clip = grads.norm(dim=1).double(), fleet.state.clip
    (lr,) = fleet.rates(STEP, STEP)
    clipped, _ = fleet.clip.update(grads, fleet.state.params, norm, clip)
    _, after = fleet.optimizer.update(fleet.state.params, clipped, fleet.state.optimizer, lr)
    divisor = fleet.optimizer.preconditioner(after)[0].double()
    limit = float(fleet.optimizer.stability_limit(lr))
    root = divisor.sqrt()
    largest = torch.linalg.eigvalsh(matrix / root / root[:, None])[-1]
    assert found["sharpness"] == pytest.approx(float(largest) / limit, rel=0.02)
    g = grads[0].double()
    along = float((g / divisor) @ matrix @ g / (g @ g))
    assert found["directional_curvature"] == pytest.approx(along / limit, rel=1e-4)
    assert found["curvature_size"] == abs(found["directional_curvature"])

    cell, params = fleet.model.cell, fleet.params
    x = fleet.model.one_hot[batch[0].mT.long()]  # (R, T, B, I)
    norm_pass = fleet.model.normalization.forward(params, cell.terms())
    prepared = cell.prepare(params)
    decided = cell.decisions(prepared, run(cell, prepared, x, norm_pass), norm_pass)
    inside = batch[0][0] != PAD  # (B, T)
    if "model=attn_rnn" in words:
        a = torch.softmax(decided[SCORES][0][inside].double(), -1)
        assert found["attention_entropy"] == pytest.approx(float(-torch.xlogy(a, a).sum(-1).mean()))
        assert math.isnan(found["gate_saturation"])
    else:
        gates = decided[GATE][0][inside]
        shut_or_open = ((gates < 0.05) | (gates > 0.95)).double()
        assert found["gate_saturation"] == pytest.approx(float(shut_or_open.mean()))
        assert math.isnan(found["attention_entropy"])


def test_the_sum_over_any_deviations():
    z = np.random.default_rng(0).standard_normal(200) * 2
    found, total = [], 0.0
    for each in z:
        total = max(0.0, total + each - 0.3)
        found.append(total)
    np.testing.assert_allclose(cumulative_sum(z, 0.3), found, atol=1e-12)
    assert 0 < np.count_nonzero(found) < 200


@pytest.mark.slow
@pytest.mark.parametrize("words", [["optimizer=sgd"], ["regularizer=omega"], ["norm=batch"]])
def test_the_run_goes_on_as_if_nothing_was_measured(compose, words):
    config = compose(*SMALL, "model=rnn", *words)
    fleet, history = trained(config)
    other, _ = trained(config)
    found = measure(fleet, STEP, history)
    own = {"attention_entropy", "gate_saturation"}
    assert {name for name, value in found.items() if math.isnan(value)} == own
    for each in (fleet, other):
        train_step(each, STEP)
    for name, value in fleet.state.tensors().items():
        assert torch.equal(value, other.state.tensors()[name]), name


def test_before_there_are_steps_to_compare_with(compose):
    fleet, history = trained(compose(*SMALL, "model=rnn"), steps=0)
    found = measure(fleet, 1, history)
    unknown = {"loss", "loss_cusum", "last_gradient", "gradient"}
    assert all(math.isnan(found[name]) for name in unknown)
    assert math.isfinite(found["sharpness"])
