"""Clipping of updates, against the paper's algorithm written anew."""

import pytest
import torch

from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train_step
from hw2exp.system.problems import ConfigError
from hw2exp.whatif.intervention import read_intervention
from hw2exp.whatif.update_clip import ClippedUpdates

SHORT = ("task=easy", "model=rnn", "model.hidden_size=5", "batch_size=4", "optimizer=adam")


def configs(compose, *words):
    return [compose(*SHORT, *words, f"seed={seed}") for seed in (1, 2)]


def spiked(fleet, shrink):
    """Set second moments that are far too small for the gradients to come, as before a spike."""
    for _ in range(3):
        train_step(fleet, 1)
    fleet.state.optimizer["mean_square"].mul_(shrink)


@pytest.mark.parametrize("limit", [1.0, 0.3])
def test_an_update_is_that_of_the_paper(compose, limit):
    fleet = ClippedUpdates(configs(compose), limit)
    spiked(fleet, 1e-4)
    before, state = fleet.state.params.double(), fleet.state.optimizer
    symbols, labels = fleet.batch(2, 0, 4)
    grads, _ = fleet.loss_and_gradient(symbols, labels)
    after, _ = fleet.optimizer.update(fleet.state.params, grads, state, fleet.optimizer.lr)
    g, config = grads.double(), fleet.config.optimizer
    t = state["updates"].double()[:, None] + 1
    u = config.beta2 * state["mean_square"].double() + (1 - config.beta2) * g**2
    v = config.beta1 * state["mean"].double() + (1 - config.beta1) * g
    root = (u / (1 - config.beta2**t)).sqrt() + config.eps
    step = v / (1 - config.beta1**t) / root
    clipped = 0
    for name, own in fleet.layout.unflatten(g / root).items():
        rms = own.flatten(1).pow(2).mean(1).sqrt() / limit
        clipped += int((rms > 1).sum())
        expected = fleet.layout.unflatten(before - config.lr * step / rms.clamp(min=1)[:, None])
        found = fleet.layout.unflatten(after)[name].double()
        assert found == pytest.approx(expected[name].numpy(), rel=1e-4, abs=1e-6), name
    assert clipped > 0


def test_a_limit_that_nothing_reaches_changes_no_bit(compose):
    clipped = ClippedUpdates(configs(compose), 1e30)
    plain = Fleet(configs(compose), compiled=False)
    for step in range(1, 6):
        train_step(clipped, step)
        train_step(plain, step)
    assert torch.equal(clipped.state.params, plain.state.params)


def test_a_replica_that_leaves_leaves_the_others_clipped(compose):
    fleet, alone = ClippedUpdates(configs(compose), 0.5), ClippedUpdates(configs(compose)[1:], 0.5)
    for step in range(1, 4):
        train_step(fleet, step)
        train_step(alone, step)
    fleet.leave(torch.tensor([True, False]))
    for step in range(4, 7):
        train_step(fleet, step)
        train_step(alone, step)
    assert torch.equal(fleet.state.params, alone.state.params)


WRONG = {
    ("sgd", "update=1"): "optimizer=sgd has no second moments to compare with",
    ("lion", "update=1"): "optimizer=lion has no second moments to compare with",
    ("spam", "update=1"): "optimizer=spam limits gradients or updates by itself",
    ("adam", "update=0"): "must be a number > 0",
    ("adam", "update=x"): "must end with a finite number",
    ("adam", "update=1 update=2"): "update comes twice",
}


@pytest.mark.parametrize("case", WRONG, ids=" ".join)
def test_words_that_say_nothing_are_refused(compose, case):
    optimizer, do = case
    words = [word for word in SHORT if not word.startswith("optimizer")]
    run = Fleet([compose(*words, f"optimizer={optimizer}")])
    with pytest.raises(ConfigError, match=WRONG[case]):
        read_intervention(do, run)
