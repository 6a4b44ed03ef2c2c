"""Steps in compiled code against the plain step on tensors, which defines them."""

from dataclasses import replace

import pytest
import torch

from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import advance, plain_step, train
from hw2exp.fleet.step_kernel import norm_of
from hw2exp.models.axes import norms
from tests.tiers import first_slow

SMALL = ("task=easy", "batch_size=9", "eval_every=1000", "eval_batches=1")  # 9: a half-full vector
MODELS = ("model=gated_rnn", "model=attn_rnn", "model=attn_rnn_inf", "model=rnn", "model=lstm")
OPTIMIZERS = (
    "optimizer=sgd optimizer.lr=0.1",
    "optimizer=sgd optimizer.momentum=0.9 optimizer.nesterov=true optimizer.lr=0.01",
    "optimizer=rmsprop",
    "optimizer=rmsprop optimizer.centered=true optimizer.momentum=0.5 optimizer.weight_decay=0.01",
    "optimizer=adam optimizer.weight_decay=0.01",
    "optimizer=adamw optimizer.weight_decay=0.1",
)
CLIPS = (
    "clip=none",
    "clip=norm clip.max_norm=0.2",
    "clip=value clip.max_value=0.01",
    "clip=zclip clip.warmup_steps=4 clip.z_threshold=0.5",
)

SAMPLE = ("rnn", "layer"), ("gated_rnn", "batch"), ("lstm", "batch"), ("attn_rnn", "qk")
"""Compiling all takes minutes; the others are slow tests."""
NORMED = [
    pytest.param(
        (f"model={model}", f"norm={norm}"),
        marks=() if (model, norm) in SAMPLE else pytest.mark.nightly,
        id=f"{model} {norm}",
    )
    for model in ("rnn", "gated_rnn", "lstm", "attn_rnn")
    for norm in ("layer", "batch", "qk")
    if norm != "qk" or model == "attn_rnn"
]
EXPLODES = ("model=gated_rnn", "optimizer=sgd", "optimizer.lr=1e37", "init.scale=3")


def fleet_of(compose, *words, seeds=(1, 2, 3), dtype=None, compiled=True):
    own = [word for text in words for word in text.split()]
    fleet = Fleet([compose(*SMALL, *own, f"seed={s}") for s in seeds], compiled=compiled)
    if dtype:
        cast = {
            name: value.to(dtype) if value.dtype == torch.float32 else value
            for name, value in fleet.state.tensors().items()
        }
        fleet.state = fleet.state.with_tensors(cast)
    return fleet


def steps_of(fleet, count, block):
    """Make steps in blocks; returns their measurements."""
    measured = []
    while len(measured) < count:
        first = len(measured) + 1
        several = advance(fleet, first, min(first + block - 1, count))
        measured += [several[n] for n in range(len(several.loss))]
    return measured


def check(compose, words, steps, dtype, tolerance):
    mine = fleet_of(compose, *words, f"steps={steps}", dtype=dtype)
    plain = fleet_of(compose, *words, f"steps={steps}", dtype=dtype, compiled=False)
    assert mine.compiled is not None
    for step, own in enumerate(steps_of(mine, steps, 7), 1):
        other = plain_step(plain, step)
        for name in vars(own):
            torch.testing.assert_close(
                getattr(own, name), getattr(other, name), rtol=tolerance, atol=tolerance
            )
    states = mine.state.tensors(), plain.state.tensors()
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_and_clip_equals_the_plain_step(compose, optimizer, clip):
    words = "model=rnn", optimizer, clip, "schedule=cosine"
    check(compose, words, 12, torch.float64, 1e-9)


@pytest.mark.parametrize("words", NORMED)
def test_every_norm_equals_the_plain_step(compose, words):
    check(compose, (*words, CLIPS[1]), 12, torch.float64, 1e-9)


@pytest.mark.nightly
@pytest.mark.parametrize("words", [param.values[0] for param in NORMED], ids=str)
def test_every_norm_equals_the_plain_step_for_long(compose, words):
    check(compose, (*words, OPTIMIZERS[4], CLIPS[1]), 200, torch.float64, 1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_near_in_float32(compose, model):
    check(compose, (model,), 5, None, 1e-4)


def test_the_notebooks_stream_is_read_as_it_is(compose):
    words = "model=rnn", "task=easy", "task.stream=notebook", "batch_size=10", "eval_every=100"
    config = compose(*words, "steps=12")
    mine, plain = Fleet([config] * 2), Fleet([config] * 2, compiled=False)
    assert mine.compiled is not None
    for step, own in enumerate(steps_of(mine, 12, 5), 1):
        torch.testing.assert_close(own.loss, plain_step(plain, step).loss, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("turn", first_slow(0, 1))
@pytest.mark.parametrize("model", MODELS)
def test_every_model_equals_the_plain_step_for_long(compose, model, turn):
    place = 2 * MODELS.index(model) + turn
    optimizer, clip = OPTIMIZERS[place % len(OPTIMIZERS)], CLIPS[place % len(CLIPS)]
    schedule = ("schedule=constant", "schedule=step", "schedule=warmup_cosine")[place % 3]
    check(compose, (model, optimizer, clip, schedule), 200, torch.float64, 1e-6)


@pytest.mark.parametrize(
    "words",
    [
        MODELS[:1],
        (*MODELS[1:2], OPTIMIZERS[4], CLIPS[3]),
        ("model=gated_rnn", "norm=batch"),
        ("model=rnn", "norm=layer"),
    ],
    ids=str,
)
def test_blocks_of_any_size_and_any_company_have_the_same_bits(compose, words):
    ends = []
    for block, seeds in ((1, (1, 2, 3)), (7, (1, 2, 3)), (64, (1, 2, 3)), (7, (3,)), (64, (2,))):
        fleet = fleet_of(compose, *words, "steps=30", seeds=seeds)
        losses = torch.stack([each.loss for each in steps_of(fleet, 30, block)])
        ends.append((seeds, losses, fleet.state.tensors()))
    _, whole, state = ends[0]
    for seeds, losses, own in ends[1:]:
        rows = [seed - 1 for seed in seeds]
        assert torch.equal(losses, whole[:, rows])
        assert all(torch.equal(value, state[name][rows]) for name, value in own.items())


def test_a_block_ends_where_a_replica_diverges(compose):
    ends = {}
    for block in (1, 5, 64):
        fleet = fleet_of(compose, *EXPLODES, "steps=40", seeds=(1, 2))
        fleet.state = replace(fleet.state, params=fleet.state.params.clone())
        fleet.state.params[1] *= 1e-20  # stays finite
        seen = []

        class Watch:
            def observe(self, steps, measured, tested, seen=seen):
                seen += [(step, measured.loss.shape[1]) for step in steps]

        train(fleet, [Watch()], block=block)
        ends[block] = fleet.outcome.tensors(), seen
    tensors, seen = ends[1]
    at = int(tensors["diverged_at"][0])
    assert 0 < at < 40
    assert [step for step, _ in seen] == list(range(1, len(seen) + 1))
    assert seen[at - 1][1] == 2
    for other, steps in ((ends[block]) for block in (5, 64)):
        assert steps == seen
        for name, value in other.items():
            torch.testing.assert_close(value, tensors[name], rtol=0, atol=0, equal_nan=True)


def test_the_kernels_are_loaded_once_a_process_not_after_each_replica_that_leaves(compose):
    fleet = fleet_of(compose, "model=gated_rnn")
    before = fleet.compiled
    fleet.leave(torch.tensor([True, False, False]))
    assert fleet.compiled is not before
    assert fleet.compiled._take_steps is before._take_steps


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 3e38])
def test_a_replica_that_is_not_finite_keeps_its_state_and_harms_no_other(compose, value):
    words = "model=lstm", "optimizer=adam", CLIPS[3], "steps=20"
    clean, poisoned = (fleet_of(compose, *words) for _ in range(2))
    steps_of(clean, 20, 64)
    steps_of(poisoned, 6, 64)
    before = poisoned.state
    poisoned.state = replace(before, params=before.params.clone())
    poisoned.state.params[1, ::3] = value
    begin = poisoned.state.tensors()
    assert len(advance(poisoned, 7, 20).loss) == 1
    state = poisoned.state.tensors()
    assert state["active"].tolist() == [True, False, True]
    assert state["diverged_at"].tolist() == [0, 7, 0]
    for name, tensor in state.items():
        if name not in ("active", "step", "diverged_at"):
            same = tensor[1], begin[name][1]
            torch.testing.assert_close(*same, rtol=0, atol=0, equal_nan=True)
    poisoned.leave(torch.tensor([False, True, False]))
    first = 8
    while first <= 20:
        first += len(advance(poisoned, first, 20).loss)
    rows = [0, 2]
    for name, tensor in poisoned.state.tensors().items():
        assert torch.equal(tensor, clean.state.tensors()[name][rows]), name


def test_an_inspected_step_has_the_same_bits(compose):
    class Inspector:
        seen = 0

        def wants_flow(self, step):
            return step % 2 == 0

        def inspect(self, step, made):
            assert (made.flow is not None) == (step % 2 == 0)
            assert made.before is not made.after
            Inspector.seen += 1

    watched, alone = (fleet_of(compose, "model=attn_rnn", "steps=10") for _ in range(2))
    train(watched, [], inspector=Inspector())
    train(alone, [])
    assert Inspector.seen == 10
    assert torch.equal(watched.state.params, alone.state.params)


def test_the_norm_of_a_row_has_the_same_bits_on_both_paths():
    rows = torch.randn(2000, 37, generator=torch.Generator().manual_seed(1)).exp()
    assert norms(rows).tolist() == [norm_of(row) for row in rows.numpy()]
