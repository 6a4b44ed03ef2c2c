"""Every model learns: EASY is solved with the shipped configs."""

import pytest

from hw2exp.config.registry import CHOICES
from hw2exp.fleet.evaluation import evaluate
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train

BY_AUTOGRAD = ("gru", "lru", "mingru")
"""Models without a compiled form."""


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(name, marks=pytest.mark.slow if name in BY_AUTOGRAD else ())
        for name in CHOICES["model"]
    ],
)
def test_easy_is_solved(compose, model):
    config = compose(f"model={model}", "task=easy", "stop_when_solved=true")
    fleet = Fleet([config])
    train(fleet, [])
    assert 0 < int(fleet.state.solved_at[0]) < config.steps
    _, accuracy = evaluate(fleet, step=10**6)  # a test pass that it has never seen
    assert float(accuracy[0]) >= 0.99
