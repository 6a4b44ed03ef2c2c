"""Ω against autograd of its definition, with states and their gradients held fixed."""

import pytest
import torch

from hw2exp.config.groups import Regularizer
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train
from hw2exp.kernels.choice import closed_form_of
from hw2exp.models.cells.rnn import ElmanRNN
from hw2exp.models.cells.rnn import ElmanRNNKnobs as Options
from hw2exp.models.classifier import Classifier
from hw2exp.models.hyperparameters import build
from hw2exp.models.normalization import Norm
from hw2exp.optim.regularizers.omega import Omega, omega_gradient
from hw2exp.tasks.temporal_order import PAD

R, B, T, H = 3, 5, 7, 4
SLOPES = {
    "tanh": lambda z: 1 - torch.tanh(z) ** 2,
    "relu": lambda z: (z > 0).to(z.dtype),
    "sigmoid": lambda z: torch.sigmoid(z) * torch.sigmoid(-z),
}
each_nonlinearity = pytest.mark.parametrize("nonlinearity", SLOPES)
each_path = pytest.mark.parametrize("closed_form", [True, False], ids=["closed form", "autograd"])


def omega(weight=2.0, bound=1e-20):
    return Omega.Knobs(name="omega", weight=weight, bound=bound)


def problem(nonlinearity, closed_form, seed=0):
    options = Options(name="rnn", hidden_size=H, nonlinearity=nonlinearity)
    cell = ElmanRNN(options, PAD)
    compiled = closed_form_of(cell, Norm()) if closed_form else None
    model = Classifier(cell, Norm(), T, closed_form=compiled, keeps_path=True)
    g = torch.Generator().manual_seed(seed)
    params = {
        name: 0.6 * torch.randn(R, *weight.shape, generator=g, dtype=torch.float64)
        for name, weight in model.weights().items()
    }
    symbols = torch.randint(0, PAD, (R, B, T), generator=g, dtype=torch.uint8)
    return model, params, symbols, torch.randint(0, 4, (R, B), generator=g, dtype=torch.uint8)


def added(model, params, symbols, labels, sections):
    """What the regularizers add to the gradient by W_hh, ``(R, H, H)``, and nothing else."""
    back = model.gradient(params, symbols, labels)
    after = build("regularizer", sections).add(back.of, model.cell, params, back.path)
    assert all(after[name] is back.of[name] for name in params if name != "weight_hh")
    return after["weight_hh"] - back.of["weight_hh"]


def by_definition(nonlinearity, params, symbols, labels, bound):
    """∂Ω/∂W_hh of one replica, by unrolling torch's own functions."""
    W_ih, W, b_ih, b_hh, W_out, b_out = params.values()
    one_hot = torch.eye(PAD + 1, PAD, dtype=torch.float64)[symbols.long()]
    h, states, sums = torch.zeros(B, H, dtype=torch.float64), [], []
    for t in range(T):
        z = (one_hot[:, t] @ W_ih.T + b_ih + h @ W.T + b_hh).requires_grad_()
        h = getattr(torch, nonlinearity)(z)
        states.append(h)
        sums.append(z)
    loss = torch.nn.functional.cross_entropy(h @ W_out.T + b_out, labels.long())
    deltas = torch.autograd.grad(loss, states)
    free = W.detach().clone().requires_grad_()
    terms = []
    for z, delta in zip(sums, deltas, strict=True):
        back = (delta * SLOPES[nonlinearity](z.detach())) @ free  # ∂ℓ/∂h[t] · ∂h[t]/∂h[t-1]
        for own, other in zip(back, delta, strict=True):
            if float(other @ other) >= bound:
                terms.append(((own @ own) / (other @ other) - 1) ** 2)
    if not terms:
        return torch.zeros_like(W)
    return torch.autograd.grad(torch.stack(terms).mean(), free)[0]


@each_nonlinearity
@each_path
@pytest.mark.parametrize("bound", [1e-20, 1e-5, 1e9])
def test_the_gradient_is_that_of_the_definition(nonlinearity, closed_form, bound):
    model, params, symbols, labels = problem(nonlinearity, closed_form)
    weights = [2.0, 0.5, 0.0]
    mine = added(model, params, symbols, labels, [omega(weight, bound) for weight in weights])
    for r, weight in enumerate(weights):
        own = {name: value[r] for name, value in params.items()}
        expected = weight * by_definition(nonlinearity, own, symbols[r], labels[r], bound)
        assert bool(expected.any()) == (weight > 0 and bound < 1)
        torch.testing.assert_close(mine[r], expected, rtol=1e-9, atol=1e-13)


def test_a_bound_in_between_leaves_some_steps_out():
    model, params, symbols, labels = problem("tanh", True)
    deltas = model.gradient(params, symbols, labels).path[1]
    counted = deltas.square().sum(3) >= 1e-5
    assert 0 < counted.sum() < counted.numel()


@each_path
def test_where_no_gradient_arrives_nothing_is_added_and_nothing_is_nan(closed_form):
    model, params, symbols, labels = problem("relu", closed_form)
    params["bias_ih"][1] = -100.0  # all units are off
    params["readout_weight"][2] = 0.0
    mine = added(model, params, symbols, labels, [omega()] * R)
    assert mine[0].any()
    assert torch.equal(mine[2], torch.zeros(H, H, dtype=torch.float64))
    assert mine.isfinite().all()


@each_path
def test_a_replica_that_is_nan_changes_no_other(closed_form):
    model, params, symbols, labels = problem("tanh", closed_form)
    sound = added(model, params, symbols, labels, [omega()] * R)
    params["weight_hh"][1] = float("nan")
    broken = added(model, params, symbols, labels, [omega()] * R)
    assert torch.equal(broken[[0, 2]], sound[[0, 2]])


def test_without_a_regularizer_the_gradient_is_the_losss():
    model, params, symbols, labels = problem("tanh", True)
    assert not added(model, params, symbols, labels, [Regularizer(name="none")] * R).any()


def test_a_step_against_omega_lowers_it():
    """The vanishing gradients of small weights come back."""
    model, params, symbols, labels = problem("tanh", True)
    params["weight_hh"] *= 0.1

    def shrinking():
        _, deltas = model.gradient(params, symbols, labels).path
        return deltas[:, :, 0].norm() / deltas[:, :, -1].norm()

    before = float(shrinking())
    for _ in range(200):
        gradient = added(model, params, symbols, labels, [omega()] * R)
        params["weight_hh"] = params["weight_hh"] - 0.02 * gradient
    assert before < 1e-3
    assert float(shrinking()) > 0.1


@pytest.mark.parametrize("extra", [[], ["closed_form=false"]], ids=["closed form", "autograd"])
def test_a_replica_has_the_same_bits_alone_and_in_a_fleet(compose, extra):
    short = ["steps=6", "eval_every=3", "eval_batches=2", "model.hidden_size=7", "batch_size=5"]
    choices = ["experiment=pascanu_tanh", "clip=norm", "regularizer=omega", *short, *extra]
    configs = [compose(*choices, f"seed={seed}") for seed in range(3)]
    wild = configs[1].regularizer.model_copy(update={"weight": 1e300})  # infinite in float32
    configs[1] = configs[1].model_copy(update={"regularizer": wild})
    together = Fleet(configs)
    train(together, [])
    for replica in (0, 2):
        alone = Fleet([configs[replica]])
        train(alone, [])
        assert torch.equal(together.outcome.params[replica], alone.outcome.params[0])
    assert not torch.equal(together.outcome.params[0], together.outcome.params[2])
    assert together.outcome.diverged_at[1] > 0


def test_omega_is_added_before_clipping(compose):
    config = compose("experiment=pascanu_tanh", "clip=norm", "regularizer=omega")
    loud = config.regularizer.model_copy(update={"weight": 1e4})
    fleet = Fleet([config.model_copy(update={"regularizer": loud})])
    symbols, labels = fleet.batch(1, 0, 20)
    grads, _ = fleet.loss_and_gradient(symbols, labels)
    norm = torch.linalg.vector_norm(grads, dim=1)
    assert float(norm) > 10
    clipped, _ = fleet.clip.update(grads, fleet.state.params, norm, fleet.state.clip)
    assert float(clipped.norm()) == pytest.approx(1, rel=1e-4)


def test_gradients_whose_squares_overflow_add_what_smaller_ones_do():
    """The term depends on ratios of norms alone."""
    g = torch.Generator().manual_seed(1)
    u, delta, W = (torch.randn(*shape, generator=g) for shape in ((B, T, H), (B, T, H), (H, H)))
    bound = torch.tensor(1e-20, dtype=torch.float64)
    expected = omega_gradient(u, delta, W, bound)
    exploded = omega_gradient(u * 2.0**80, delta * 2.0**80, W, bound)
    assert expected.any()
    torch.testing.assert_close(exploded, expected)
