"""Alone or in company, the same bits; and a replica that breaks breaks nobody else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hw2exp.fleet.evaluation import evaluate, evaluate_initial, population_statistics
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train
from hw2exp.tasks.task import POPULATION, TEST, TRAIN

STEPS = 12


class Watch:
    """Keeps what was measured, NaN for replicas that have left."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.rows = []

    def observe(self, steps, measured, tested):
        for n in range(len(steps)):
            self.keep(measured[n], tested if n == len(steps) - 1 else None)

    def keep(self, measured, tested):
        values = [measured.loss, measured.grad_norm_raw, measured.grad_norm_clipped, measured.lr]
        if tested is not None:
            values += [tested.losses.mean(1), tested.accuracy]
        row = np.full((len(values), len(self.fleet.outcome.step)), np.nan)
        row[:, self.fleet.members] = torch.stack([value.double() for value in values]).numpy()
        self.rows.append(row)


def run(configs):
    fleet = Fleet(configs)
    watch = Watch(fleet)
    train(fleet, [watch])
    return fleet, watch.rows


def assert_same_bits(fleet, rows, replica, alone, alone_rows):
    mine, theirs = fleet.outcome, alone.outcome
    assert torch.equal(mine.params[replica], theirs.params[0])
    for name, value in theirs.optimizer.items():
        assert torch.equal(mine.optimizer[name][replica], value[0]), name
    for mine, theirs in zip(rows, alone_rows, strict=False):
        assert np.array_equal(mine[:, replica], theirs[:, 0], equal_nan=True)
    # Whoever is left over trains on without it.
    assert all(np.isnan(row[:, replica]).all() for row in rows[len(alone_rows) :])


SHORT = (
    f"steps={STEPS}",
    "eval_every=5",
    "eval_batches=2",
    "task=easy",
    # odd sizes, so that rows do not fill whole vector registers
    "batch_size=5",
    "model.hidden_size=7",
)
COMBINATIONS = [
    ("model=gated_rnn", "optimizer=sgd", "clip=norm", "schedule=step"),
    ("model=attn_rnn", "optimizer=rmsprop", "clip=zclip", "schedule=cosine"),
    ("model=attn_rnn", "optimizer=adam", "norm=qk", "clip=value"),
    ("model=attn_rnn_inf", "optimizer=adam", "clip=value", "schedule=warmup_cosine"),
    ("model=rnn", "optimizer=rmsprop", "clip=norm", "schedule=plateau", "norm=batch"),
    ("model=lstm", "optimizer=sgd", "clip=none", "norm=layer"),
]
BY_THE_PLAIN_STEP = [
    ("model=gru", "optimizer=adam", "norm=sigma_reparam", "regularizer=z_loss"),
    ("model=mingru", "optimizer=rmsprop", "clip=norm", "regularizer=label_smoothing"),
    pytest.param(
        ("model=lru", "model.hidden_size=6", "optimizer=adam", "regularizer=flossing"),
        marks=pytest.mark.slow,
    ),
    ("model=attn_rnn", "optimizer=rmsprop", "clip=qk_clip", "clip.max_score=0.1"),
]


@pytest.mark.parametrize("overrides", [*COMBINATIONS, *BY_THE_PLAIN_STEP], ids=" ".join)
def test_a_replica_has_the_same_bits_alone_and_in_a_fleet(compose, overrides):
    extra = ["schedule.warmup_steps=3"] if "schedule=warmup_cosine" in overrides else []
    configs = [
        compose(*SHORT, *overrides, *extra, f"seed={seed}", f"optimizer.lr={lr}")
        for seed, lr in [(0, 0.01), (1, 0.003), (2, 0.1)]
    ]
    fleet, rows = run(configs)
    for replica, config in enumerate(configs):
        assert_same_bits(fleet, rows, replica, *run([config]))


def test_every_seed_has_batches_of_its_own(compose):
    fleet = Fleet([compose(*SHORT, "batch_size=32", f"seed={seed}") for seed in range(2)])
    for stream in (TRAIN, TEST):
        first, second = fleet.batch(1, stream, 32)[0]
        assert not torch.equal(first, second)


def test_the_order_of_a_fleet_does_not_matter(compose):
    configs = [compose(*SHORT, "model=attn_rnn", f"seed={seed}") for seed in range(3)]
    fleet, rows = run(configs)
    backward, backward_rows = run(configs[::-1])
    for replica in range(3):
        assert torch.equal(fleet.state.params[replica], backward.state.params[2 - replica])
        for mine, theirs in zip(rows, backward_rows, strict=True):
            assert np.array_equal(mine[:, replica], theirs[:, 2 - replica])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_replica_that_breaks_is_frozen_and_its_neighbours_do_not_notice(compose, value):
    configs = [compose(*SHORT, "model=gated_rnn", f"seed={seed}") for seed in range(3)]
    broken = Fleet(configs)
    broken.state.params[1, 3] = value  # from the first step on
    before = broken.state.params[1].clone()
    watch = Watch(broken)
    train(broken, [watch])
    end = broken.outcome
    assert end.diverged_at.tolist() == [0, 1, 0]
    assert end.step.tolist() == [STEPS, 1, STEPS]
    assert end.active.tolist() == [True, False, True]
    assert torch.equal(end.params[1], before) or value != value
    assert broken.members.tolist() == [0, 2]  # no work is done for what has left
    for replica in (0, 2):
        assert_same_bits(broken, watch.rows, replica, *run([configs[replica]]))


def test_a_replica_diverges_in_training_and_keeps_its_last_finite_parameters(compose):
    config = compose(*SHORT, "model=rnn", "model.nonlinearity=relu", "optimizer=sgd", "steps=60")
    wild = config.model_copy(
        update={"optimizer": config.optimizer.model_copy(update={"lr": 1e6}), "seed": 5}
    )
    fleet, _ = run([config, wild])
    at = int(fleet.outcome.diverged_at[1])
    assert 1 < at < 60
    assert fleet.outcome.params.isfinite().all()
    assert fleet.outcome.diverged_at[0] == 0
    alone, alone_rows = run([wild])
    assert int(alone.outcome.diverged_at[0]) == at
    assert len(alone_rows) == at  # a fleet of one stops there
    assert torch.equal(fleet.outcome.params[1], alone.outcome.params[0])


def test_solved_replicas_stop_and_the_others_continue(compose):
    base = compose(
        *SHORT, "model=lstm", "optimizer=adam", "optimizer.lr=0.03", "batch_size=32", "steps=200",
        "stop_when_solved=true", "eval_every=10", "solved_passes=2",
    )  # fmt: skip
    slow = base.model_copy(update={"optimizer": base.optimizer.model_copy(update={"lr": 1e-6})})
    fleet, _ = run([base, slow])
    solved = fleet.outcome.solved_at.tolist()
    assert 0 < solved[0] < 200
    assert solved[1] == 0
    assert fleet.outcome.step.tolist() == [solved[0], 200]
    alone, _ = run([base])
    assert torch.equal(alone.outcome.params[0], fleet.outcome.params[0])


def test_a_fleet_refuses_configs_that_differ_in_shape(compose):
    with pytest.raises(ValueError, match="nesterov is shared"):
        Fleet(
            [
                compose("optimizer=sgd", "optimizer.nesterov=false"),
                compose("optimizer=sgd", "optimizer.nesterov=true"),
            ]
        )


@pytest.mark.parametrize("overrides", COMBINATIONS, ids=" ".join)
def test_threads_change_nothing(compose, overrides):
    """At sizes at which torch does share the work."""
    large = ("task=easy", "steps=2", "eval_every=2", "eval_batches=1", "batch_size=128",
             "model.hidden_size=64", "schedule=constant")  # fmt: skip
    configs = [compose(*overrides, *large, f"seed={seed}") for seed in range(3)]
    one, rows = run(configs)
    for threads in (2, 4):
        torch.set_num_threads(threads)
        more, more_rows = run(configs)
        assert torch.equal(one.state.params, more.state.params)
        assert all(map(np.array_equal, rows, more_rows))


NORMED = "norm=batch", "task=easy", "model.hidden_size=8"


@pytest.mark.parametrize(("words", "batches"), [((), 35), (("norm.population_sequences=91",), 4)])
def test_population_statistics_are_means_over_fresh_training_batches(compose, words, batches):
    config = compose(*NORMED, "model=gated_rnn", "batch_size=30", *words)
    fleet = Fleet([config])
    plain = Fleet([config.model_copy(update={"closed_form": False})])
    symbols, labels = fleet.batch(7, POPULATION, batches * 30)  # at least 1,024, or 91
    seen = [
        plain.model.losses(plain.params, *part)[2]
        for part in zip(symbols.split(30, 1), labels.split(30, 1), strict=True)
    ]
    found = population_statistics(fleet, 7)
    assert found.keys() == seen[0].keys()
    for name, value in found.items():
        expected = torch.stack([each[name].double() for each in seen]).mean(0).float()
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
    assert population_statistics(Fleet([compose("norm=layer")]), 7) is None


@pytest.mark.parametrize("model", ["gated_rnn", "attn_rnn_inf"])
def test_a_test_pass_is_a_function_of_seed_step_and_parameters(compose, model):
    """However the parameters came to be: no average lags behind them."""
    config = compose(*NORMED, f"model={model}", "steps=12", "eval_every=5", "eval_batches=2")
    trained, fresh = Fleet([config]), Fleet([config])
    train(trained, [])
    fresh.state = replace(fresh.state, params=trained.state.params)
    for mine, theirs in zip(evaluate(trained, 12), evaluate(fresh, 12), strict=True):
        assert torch.equal(mine, theirs)
    assert not torch.equal(evaluate(trained, 12)[0], evaluate(trained, 13)[0])


def test_batch_norm_is_judged_by_what_it_has_learned(compose):
    """Large steps throw the parameters ahead of any running average; the test must follow."""
    words = "model=gated_rnn", "optimizer=rmsprop", "optimizer.lr=0.03", "steps=300"
    fleet = Fleet([compose(*NORMED, *words, f"seed={seed}") for seed in range(12)])
    train(fleet, [])
    _, tested = evaluate(fleet, 300)
    _, by_batch, _ = evaluate_initial(fleet)  # of fresh batches, each by its own statistics
    assert (by_batch > 0.9).all()
    assert (tested - by_batch).abs().mean() < 0.015  # of a single run, 0.04 by chance
