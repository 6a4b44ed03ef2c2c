import math
import time

import pytest
import torch

from hw2exp.fleet.compiled_step import CompiledSteps
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import BLOCK_SECONDS, check_initial, train, train_step
from hw2exp.models.axes import norms
from hw2exp.models.classifier import cross_entropy


@pytest.mark.parametrize(
    ("loss", "accuracy", "meaning"),
    [
        (math.log(4), 0.25, None),
        (1.44, 0.21, None),
        (1.6, 0.25, "init.readout_scale"),
        (0.7, 0.25, "trained weights"),
        (math.log(4), 0.9, "labels leak"),
        (float("nan"), 0.25, "overflows"),
        (float("inf"), 0.25, "readout_scale"),
    ],
)
def test_the_initial_check_says_what_was_found_and_what_it_means(loss, accuracy, meaning):
    line = check_initial(loss, accuracy, 16)
    if meaning is None:
        assert line is None
    else:
        assert meaning in line
        assert f"{loss:.4f}" in line
        assert "\n" not in line


@pytest.mark.parametrize(
    ("hidden_size", "loss", "right"),
    [
        (16, 1.48, True), (16, 1.49, False), (64, 1.49, False),  # ln 4 + 0.1
        (8, 1.58, True), (8, 1.59, False), (4, 1.78, True), (4, 1.79, False),  # + 0.2, + 0.4
        (4, 1.28, False), (1, 1.28, False), (1, 2.98, True), (1, 3.0, False),  # - 0.1 for all
    ],
)  # fmt: skip
def test_a_small_network_may_start_higher(hidden_size, loss, right):
    assert (check_initial(loss, 0.25, hidden_size) is None) == right


SMALL_NETWORKS = [
    "experiment=notebook_rnn_easy",
    "model=rnn task=moderate model.hidden_size=4",
    "model=lstm task=easy model.hidden_size=2",
    "model=gated_rnn task=easy model.hidden_size=3",
]


@pytest.mark.parametrize("words", SMALL_NETWORKS)
def test_every_sound_start_of_a_small_network_passes_and_a_wrong_one_does_not(compose, words):
    config = compose(*words.split())
    hidden = config.model.hidden_size

    def problems(scale):
        init = config.init.model_copy(update={"readout_scale": scale})
        change = {"init": init}
        runs = [config.model_copy(update={**change, "seed": seed}) for seed in range(100)]
        starts = zip(*(each.tolist() for each in Fleet(runs).initial()), strict=True)
        return [check_initial(loss, accuracy, hidden) for loss, accuracy in starts]

    assert problems(1.0) == [None] * 100
    assert all("lower init.readout_scale" in (told or "") for told in problems(40.0))


def test_a_zero_readout_starts_at_exactly_ln_4(compose):
    fleet = Fleet([compose("init.readout=zeros", "task=easy")])
    loss, accuracy = fleet.initial()
    assert float(loss) == pytest.approx(math.log(4), abs=1e-6)
    assert 0.2 < float(accuracy) < 0.3


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


def test_training_that_is_ended_and_goes_on_makes_each_step_and_test_pass_once(compose):
    config = compose("task=easy", "steps=15", "eval_every=6")
    fleet = Fleet([config])
    steps = []

    class Watch:
        def observe(self, step, measured, tested):
            steps.append((step, tested is not None))

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

    def slow(self, before, first, rates, keeps_flow):
        sizes.append(len(rates))
        time.sleep(0.02 * len(rates))
        return run(self, before, first, rates, keeps_flow)

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
