"""Terms of the loss against torch's functions, and the exponents against the diagnostics'."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from hw2exp.diagnostics.lyapunov import lyapunov_exponents
from hw2exp.diagnostics.trajectory import trajectory
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train_step
from hw2exp.models.stretching import TRANSIENT

SHORT = ("task=easy", "batch_size=6", "model.hidden_size=6")
WEIGHTS = 0.3, 0.0, 0.05


def fleet_of(compose, *words, dtype=torch.float64):
    """A fleet of three with weights of their own, in double precision; and a batch."""
    config = compose(*SHORT, *words)
    term = config.regularizer
    updates = [{"regularizer": term.model_copy(update={"weight": w})} for w in WEIGHTS]
    fleet = Fleet([config.model_copy(update=own | {"seed": i}) for i, own in enumerate(updates)])
    symbols, labels = fleet.batch(1, 0, 6)
    return (
        fleet,
        {name: 2 * value.to(dtype) for name, value in fleet.params.items()},
        symbols,
        labels,
    )


def expected(name, logits, labels, weight):
    if name == "z_loss":
        log_z = logits.exp().sum(1).log()
        return cross_entropy(logits, labels) + weight * (log_z**2).mean()
    return cross_entropy(logits, labels, label_smoothing=weight)


@pytest.mark.parametrize("model", ["gru", "attn_rnn"])
@pytest.mark.parametrize("name", ["z_loss", "label_smoothing"])
def test_the_gradient_is_that_of_the_loss_with_the_term(compose, name, model):
    fleet, params, symbols, labels = fleet_of(compose, f"model={model}", f"regularizer={name}")
    mine = fleet.model.gradient(params, symbols, labels)
    free = {key: value.clone().requires_grad_() for key, value in params.items()}
    logits, _ = fleet.model.forward(free, symbols)
    totals = [expected(name, *own) for own in zip(logits, labels.long(), WEIGHTS, strict=True)]
    grads = torch.autograd.grad(sum(totals), list(free.values()))
    for (key, own), grad in zip(mine.of.items(), grads, strict=True):
        torch.testing.assert_close(own, grad, rtol=1e-9, atol=1e-13, msg=key)
    plain = [cross_entropy(*own) for own in zip(logits, labels.long(), strict=True)]
    torch.testing.assert_close(mine.loss, torch.stack(plain).detach())  # without the term


@pytest.mark.parametrize(
    ("model", "norm"),
    [
        ("lstm", "none"),
        ("lru", "none"),
        ("attn_rnn", "none"),
        ("attn_rnn_inf", "layer"),
        ("rnn", "sigma_reparam"),
    ],
)
def test_flossed_exponents_are_those_of_the_diagnostics(compose, model, norm):
    words = f"model={model}", f"norm={norm}", "regularizer=flossing", "regularizer.sequences=4"
    fleet, params, symbols, labels = fleet_of(compose, *words)
    model, seen = fleet.model, []

    def watched(known):
        seen.append(known)
        return fleet.regularizer.value(known)

    model.term = watched
    model.gradient(params, symbols, labels)
    mine = fleet.regularizer.of(seen[0])  # (R, B, k)
    with torch.no_grad():
        norm_pass = model.normalization.forward(params, model.cell.terms())
        x = model.input_vectors(symbols[:, :4], torch.float64)
        run = trajectory(model.cell, params, x, norm_pass).recorded()
        theirs = lyapunov_exponents(run, TRANSIENT, 4)
    torch.testing.assert_close(mine.detach(), theirs, rtol=1e-9, atol=1e-11)
    term = fleet.regularizer.value(seen[0]).detach()
    by_hand = torch.tensor(WEIGHTS).double() * (theirs**2).mean((1, 2))
    torch.testing.assert_close(term, by_hand, rtol=1e-7, atol=0)


def test_the_gradient_of_flossing_is_that_of_differences(compose):
    fleet, params, symbols, labels = fleet_of(
        compose, "model=gru", "regularizer=flossing", "regularizer.exponents=3"
    )
    model, term = fleet.model, []

    def watched(known):
        term.append(fleet.regularizer.value(known))
        return term[-1]

    model.term = None
    plain = model.gradient(params, symbols, labels)
    model.term = watched
    total = model.gradient(params, symbols, labels)
    for name in ("weight_hh", "bias_hh", "weight_ih"):
        slope = total.of[name] - plain.of[name]
        assert slope[0].any()
        assert not slope[1].any()  # its weight is 0
        direction = torch.randn_like(slope)
        values = []
        for size in (1e-5, -1e-5):
            model.gradient(params | {name: params[name] + size * direction}, symbols, labels)
            values.append(term[-1].detach())
        nudged = (values[0] - values[1]) / 2e-5
        along = (slope * direction).flatten(1).sum(1)
        torch.testing.assert_close(along, nudged, rtol=1e-5, atol=1e-9)


def test_a_sequence_of_a_single_symbol_adds_nothing_to_flossing(compose):
    fleet, params, symbols, labels = fleet_of(compose, "model=rnn", "regularizer=flossing")
    symbols[:, :, :-1] = fleet.model.cell.input_size  # padding
    total = fleet.model.gradient(params, symbols, labels).of
    fleet.model.term = None
    plain = fleet.model.gradient(params, symbols, labels).of
    assert all(torch.equal(total[name], plain[name]) for name in plain)


def test_flossing_brings_exponents_to_zero(compose):
    """Those of a network whose gradients vanish."""
    words = "model=rnn", "regularizer=flossing", "regularizer.exponents=2", "optimizer=adam"
    config = compose(*SHORT, *words, "regularizer.weight=10", "optimizer.lr=0.03", "init.scale=0.3")
    fleet, sizes = Fleet([config]), []

    def watched(known):
        term = fleet.regularizer.value(known)
        sizes.append(float(term.detach()))
        return term

    fleet.model.term = watched
    for step in range(1, 31):
        train_step(fleet, step)
    assert sizes[0] > 10 * 0.7**2
    assert sizes[-1] < sizes[0] / 20
