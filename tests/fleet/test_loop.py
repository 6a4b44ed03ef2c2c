import math
import time

import pytest
import torch

from hw2exp.fleet.compiled_step import CompiledSteps
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import BLOCK_SECONDS, train, train_step
from hw2exp.models.axes import norms
from hw2exp.models.classifier import cross_entropy


def test_cross_entropy_is_torchs():
    logits, labels = torch.randn(3, 7, 4, dtype=torch.float64), torch.randint(4, (3, 7))
    theirs = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="none"
    )
    torch.testing.assert_close(cross_entropy(logits, labels).flatten(), theirs)


def test_the_loop_is_what_torch_would_do(compose):
    """Clipping, RMSprop and a schedule in one run, against torch's own parts step by step."""
    config = compose(
        "model=lstm", "task=easy", "clip=norm", "clip.max_norm=0.05", "schedule=cosine",
        "optimizer.lr=0.001", "steps=20",
    )  # fmt: skip
    fleet = Fleet([config])
    mine = {name: value[0].clone().requires_grad_() for name, value in fleet.params.items()}
    optimizer = torch.optim.RMSprop(mine.values(), lr=0.001)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    for step in range(1, 21):
        symbols, labels = fleet.batch(step, 0, 32)
        lifted = {name: value[None] for name, value in mine.items()}
        logits, _ = fleet.model.forward(lifted, symbols)
        optimizer.zero_grad()
        cross_entropy(logits, labels).mean().backward()
        for value in mine.values():  # two biases share one gradient tensor, clipped in place
            value.grad = value.grad.clone()
        raw = torch.nn.utils.clip_grad_norm_(mine.values(), 0.05)
        measured = train_step(fleet, step)
        assert float(measured.grad_norm_raw) == pytest.approx(float(raw), rel=1e-5)
        assert float(measured.grad_norm_clipped) <= 0.05 * (1 + 1e-5)
        assert float(measured.lr) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cosine.step()
    for name, value in fleet.params.items():
        torch.testing.assert_close(value[0], mine[name].detach(), rtol=1e-5, atol=1e-6)


def test_resumed_training_makes_each_step_and_test_pass_once(compose):
    config = compose("task=easy", "steps=15", "eval_every=6")
    fleet = Fleet([config])
    steps = []

    class Watch:
        def observe(self, several, measured, tested):
            steps.extend((step, step == several[-1] and tested is not None) for step in several)

    train(fleet, [Watch()], after=lambda step: step == 7, block=1)
    assert [step for step, _ in steps] == list(range(1, 8))
    train(fleet, [Watch()], first=8)
    assert [step for step, _ in steps] == list(range(1, 16))
    assert [step for step, tested in steps if tested] == [6, 12, 15]
    whole = Fleet([config])
    train(whole, [])
    assert torch.equal(whole.state.params, fleet.state.params)


def test_a_block_of_slow_steps_ends_soon_so_that_a_signal_is_seen(compose, monkeypatch):
    sizes, run = [], CompiledSteps.run

    def slow(self, before, first, rates, *more):
        sizes.append(len(rates))
        time.sleep(0.02 * len(rates))
        return run(self, before, first, rates, *more)

    monkeypatch.setattr(CompiledSteps, "run", slow)
    train(Fleet([compose("task=easy", "steps=40", "eval_every=100", "eval_batches=1")]), [])
    assert sum(sizes) == 40
    assert sizes[0] == 1
    assert max(sizes) <= BLOCK_SECONDS / 0.02


def test_a_finite_gradient_never_has_an_infinite_norm():
    rows = torch.tensor([[3e20, -4e20], [3e-30, 4e-30], [3e38, 3e38], [torch.inf, 0.0]])
    expected = torch.tensor([5e20, 5e-30, 3e38 * math.sqrt(2), torch.inf], dtype=torch.float64)
    torch.testing.assert_close(norms(rows), expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_norm_has_the_same_bits_alone_and_in_a_fleet(threads):
    sizes = torch.logspace(-25, 25, 4999)
    rows = torch.randn(64, 4999, generator=torch.Generator().manual_seed(0)) * sizes
    torch.set_num_threads(threads)
    together = norms(rows)
    for R in (1, 3, 16):
        apart = torch.cat([norms(part.contiguous()) for part in rows.split(R)])
        assert torch.equal(apart, together)


def test_a_step_whose_squared_gradient_overflows_is_clipped_and_no_divergence(compose):
    """A product of 90 recurrent matrices makes a gradient of 1e21; its square is above 3.4e38."""
    words = (
        "model=rnn", "model.nonlinearity=relu", "task=hard", "optimizer=sgd", "optimizer.lr=0.01",
        "optimizer.momentum=0",
        "init.scale=3.4", "clip=norm", "steps=2", "eval_every=2",
    )  # fmt: skip
    fleet = Fleet([compose(*words)])
    for step in (1, 2):
        measured = train_step(fleet, step)
        raw, clipped = float(measured.grad_norm_raw), float(measured.grad_norm_clipped)
        update = float(measured.update_norm)
        assert clipped == pytest.approx(min(raw, 1.0), rel=1e-5)
        assert update == pytest.approx(0.01 * clipped, rel=1e-3)
        assert fleet.state.active.all()
        if step == 1:
            assert 1e20 < raw < math.inf
