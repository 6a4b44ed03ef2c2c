"""What is not a number stays in its replica: the others keep their bits, it stops with its step."""

import itertools

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.loop import train
from hw2exp.records.run_dir import read_result
from hw2exp.report.__main__ import main as report
from hw2exp.train import main

STEPS, WHEN, REPLICAS = 8, 3, 4
SHORT = (f"steps={STEPS}", "eval_every=4", "eval_batches=2", "task=easy", "batch_size=5",
         "model.hidden_size=7")  # fmt: skip
COMBINATIONS = [
    ("model=gated_rnn", "optimizer=sgd", "clip=norm"),
    ("model=attn_rnn", "optimizer=rmsprop", "clip=none"),
    ("model=attn_rnn", "optimizer=adam", "norm=qk", "clip=value"),
    ("model=attn_rnn_inf", "optimizer=adam", "clip=zclip"),
    ("model=rnn", "optimizer=rmsprop", "clip=value", "norm=batch", "schedule=plateau"),
    ("model=lstm", "optimizer=sgd", "clip=norm", "norm=layer"),
    ("model=attn_rnn", "optimizer=adam", "clip=qk_clip", "clip.max_score=0.1"),
    pytest.param(
        ("model=mingru", "optimizer=sgd", "norm=sigma_reparam", "regularizer=flossing"),
        marks=pytest.mark.slow,
    ),
]
POISONS = {
    "nan": lambda values: torch.full_like(values, torch.nan),
    "+inf": lambda values: torch.full_like(values, torch.inf),
    "-inf": lambda values: torch.full_like(values, -torch.inf),
    "overflow": lambda values: (values.abs() + 1) * 3e38 * 1e3,
}
PLACES = ("loss", "gradient", "an entry of the gradient")


def poison(fleet, replica, value, place, when=WHEN):
    """Let a replica's loss or gradient go wrong at a step."""
    sound, steps = fleet.loss_and_gradient, itertools.count(1)

    def broken(symbols, labels, keeps_flow):
        grads, back = sound(symbols, labels, keeps_flow)
        if next(steps) == when:
            chosen = grads[replica, :1] if "entry" in place else grads[replica]
            chosen = back.loss[replica : replica + 1] if place == "loss" else chosen
            chosen.copy_(value(chosen))
        return grads, back

    fleet.loss_and_gradient = broken


@pytest.mark.slow
@pytest.mark.parametrize("overrides", COMBINATIONS, ids=" ".join)
def test_each_replica_each_poison_in_loss_and_gradient(compose, overrides):
    configs = [compose(*SHORT, *overrides, f"seed={seed}") for seed in range(REPLICAS)]
    clean = Fleet(configs, compiled=False)
    train(clean, [])
    before = Fleet(configs, compiled=False)
    train(before, [], after=lambda step: step == WHEN - 1, block=1)
    for replica, (turn, poisoned) in itertools.product(range(REPLICAS), enumerate(POISONS)):
        place = PLACES[(replica + turn) % len(PLACES)]
        fleet = Fleet(configs, compiled=False)
        poison(fleet, replica, POISONS[poisoned], place)
        train(fleet, [])
        what = (replica, poisoned, place)
        end = fleet.outcome
        others = [r for r in range(REPLICAS) if r != replica]
        for name, tensor in end.tensors().items():
            assert torch.equal(tensor[others], clean.outcome.tensors()[name][others]), (what, name)
        assert int(end.diverged_at[replica]) == int(end.step[replica]) == WHEN, what
        assert torch.equal(end.params[replica], before.outcome.params[replica]), what
        assert fleet.members.tolist() == others, what


@pytest.mark.slow
def test_it_is_shown_in_result_tensorboard_and_report(tmp_path, monkeypatch, capsys):
    """Through the command line: of four runs side by side one overflows."""
    monkeypatch.chdir(tmp_path)
    options = [
        "task=easy", "model=rnn", "model.nonlinearity=relu", "optimizer=sgd", "steps=40",
        "eval_every=20", "eval_batches=2", "plot=false", "seed=1",
    ]  # fmt: skip
    rates = ["0.01", "0.1", "1e12", "0.03"]
    sweep = ["-m", *options, f"optimizer.lr={','.join(rates)}", "hydra.sweep.dir=sweep"]
    assert main(sweep) == 0
    results = [read_result(tmp_path / f"sweep/{job}") for job in range(4)]
    assert [result.status for result in results] == ["finished"] * 2 + ["diverged", "finished"]
    at = results[2].diverged_at
    assert at is not None
    for job, rate in enumerate(rates):
        assert main([*options, f"optimizer.lr={rate}", f"hydra.run.dir=alone{job}"]) == 0
        alone = read_result(tmp_path / f"alone{job}")
        for digest in ("parameters_sha256", "metrics_sha256", "diverged_at"):
            assert getattr(alone, digest) == getattr(results[job], digest), (job, digest)
    for job in range(4):
        events = EventAccumulator(str(tmp_path / f"sweep/{job}")).Reload()
        if job == 2:
            (shown,) = events.Tensors("diverged/text_summary")
            assert shown.step == at
            assert f"at step {at}" in shown.tensor_proto.string_val[0].decode()
            assert events.Scalars("loss/train")[-1].step == at
        else:
            assert "diverged/text_summary" not in events.Tags()["tensors"]
    capsys.readouterr()
    assert report(["sweep"]) == 0
    page = (tmp_path / "sweep/report/report.html").read_text()
    assert f"Diverged: optimizer.lr=1000000000000.0 seed 1 at step {at}." in page
