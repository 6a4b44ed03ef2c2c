"""A golden loss trace a model, which a refactor may not move."""

import pytest

from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train

STEPS = 60
EVERY = 10

GOLDEN: dict[str, list[float]] = {
    "gated_rnn": [1.37332, 1.36214, 1.36606, 1.34519, 1.3225, 1.28931],
    "attn_rnn": [1.41244, 1.33281, 1.24127, 1.05988, 0.86389, 0.47772],
    "attn_rnn_inf": [1.32487, 1.32527, 1.10969, 0.75837, 0.6708, 0.54227],
    "rnn": [1.35009, 1.30639, 1.151, 0.89792, 0.68606, 0.54322],
    "lstm": [1.36943, 1.33883, 1.19975, 1.01994, 0.78227, 0.84356],
    "gru": [1.37874, 1.34673, 1.34445, 1.29629, 1.19336, 1.06692],
    "lru": [1.39945, 1.37424, 1.36239, 1.35806, 1.33463, 1.34748],
    "mingru": [1.41901, 1.35013, 1.36715, 1.3596, 1.31575, 1.31535],
}


class Losses(list):
    def observe(self, steps, measured, tested):
        self += [float(measured.loss[n]) for n, step in enumerate(steps) if step % EVERY == 0]


@pytest.mark.parametrize("model", list(GOLDEN))
def test_the_first_losses_are_what_they_were(compose, model):
    """Loose enough for another machine's rounding, which grows from 1e-7 over the steps."""
    losses = Losses()
    train(Fleet([compose(f"model={model}", "task=easy", f"steps={STEPS}", "seed=3")]), [losses])
    assert losses == pytest.approx(GOLDEN[model], abs=2e-3)
