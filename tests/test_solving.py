"""Every model learns: EASY is solved with the shipped configs."""

import pytest

from hw2exp.config.registry import CHOICES
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train


@pytest.mark.parametrize("model", list(CHOICES["model"]))
def test_easy_is_solved(compose, model):
    config = compose(f"model={model}", "task=easy", "stop_when_solved=true")
    fleet = Fleet([config])
    train(fleet, [])
    assert 0 < int(fleet.state.solved_at[0]) < config.steps
    _, accuracy = fleet.test(step=10**6)  # a test pass that it has never seen
    assert float(accuracy[0]) >= 0.99
