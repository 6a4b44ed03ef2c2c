"""Every shipped config composes, starts at ln 4 and runs for a few steps."""

import itertools
import math

import pytest

from hw2exp.config.help import group_names
from hw2exp.config.registry import CHOICES
from hw2exp.fleet.evaluation import evaluate_initial
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.initial_loss import check_initial
from hw2exp.fleet.loop import train

SHORT = ("steps=3", "eval_every=31", "eval_batches=1")
EXPERIMENTS = [
    "notebook_rnn_easy",
    "notebook_lstm_moderate",
    "explosion",
    "explosion_sgd",
    "gradient_reach",
    "hochreiter_6a",
    "map_rmsprop",
    "map_sgd",
    "pascanu_sigmoid",
    "pascanu_tanh",
    "pascanu_smart_tanh",
]
BY_AUTOGRAD = ("gru", "lru", "mingru")
"""Models without a compiled form, whose steps take longer."""

WELL_KNOWN = ("batch", "layer")
"""Norms that the other models show in the quick suite."""


def shipped():
    """Each choice of each group once, on the defaults; and each experiment."""
    for group, choices in CHOICES.items():
        for name in choices:
            yield f"{group}={name}"
    for name in EXPERIMENTS:
        yield f"experiment={name}"


def first_steps(config):
    fleet = Fleet([config])
    loss, accuracy, _ = evaluate_initial(fleet)
    assert check_initial(float(loss), float(accuracy), config.model.hidden_size) is None
    train(fleet, [])
    assert fleet.state.step.tolist() == [3]
    assert fleet.state.diverged_at.tolist() == [0]


@pytest.mark.parametrize("choice", list(shipped()))
def test_a_shipped_choice_starts_at_ln_4_and_runs(compose, choice, monkeypatch):
    monkeypatch.setattr("hw2exp.config.jobs.find_spec", lambda package: True)  # of a logger
    needs = {
        "schedule=warmup_cosine": ["schedule.warmup_steps=1"],
        "schedule=wsd": ["schedule.warmup_steps=1"],
        "regularizer=omega": ["model=rnn"],
        "prune=asha": ["-m", "eval_every=1", "prune.first_rung=1"],
        "prune=median": ["-m", "eval_every=1", "prune.warmup=1"],
        "regularizer=flossing": ["task=easy"],
    }
    extra = ["-m"] if choice.startswith("executor=") else needs.get(choice, [])
    first_steps(compose(choice, *SHORT, *extra))


@pytest.mark.parametrize(
    ("model", "norm"),
    [
        pytest.param(model, norm, marks=pytest.mark.slow if norm in WELL_KNOWN else ())
        if model in BY_AUTOGRAD
        else (model, norm)
        for model, norm in itertools.product(CHOICES["model"], CHOICES["norm"])
        if norm != "qk" or model.startswith("attn")
    ],
)
def test_every_model_with_every_norm_starts_at_ln_4_and_runs(compose, model, norm):
    first_steps(compose(f"model={model}", f"norm={norm}", "task=easy", *SHORT))


@pytest.mark.parametrize("model", list(CHOICES["model"]))
def test_the_initial_loss_is_near_ln_4_for_any_seed(compose, model):
    config = compose(f"model={model}")
    fleet = Fleet([config.model_copy(update={"seed": seed}) for seed in range(24)])
    loss, accuracy, _ = evaluate_initial(fleet)
    assert (loss - math.log(4)).abs().max() < 0.1
    assert abs(float(loss.median()) - math.log(4)) < 0.02
    assert abs(float(accuracy.mean()) - 0.25) < 0.02


def test_the_groups_on_disk_are_those_of_the_schema():
    from importlib.resources import files

    folders = {entry.name for entry in files("hw2exp.configs").iterdir() if entry.is_dir()}
    assert folders - {"__pycache__"} == set(group_names())
    for group, choices in CHOICES.items():
        names = {entry.name for entry in (files("hw2exp.configs") / group).iterdir()}
        assert {n for n in names if not n.startswith("_")} == {f"{name}.yaml" for name in choices}
