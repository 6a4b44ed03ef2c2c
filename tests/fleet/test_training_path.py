"""The code that a run trains by, and what is said about it."""

import pytest

import hw2exp
from hw2exp.fleet.fleet import Fleet
from hw2exp.fleet.training_path import training_path
from hw2exp.train import main

PATHS = {
    "model=rnn norm=layer": ("compiled", ""),
    "model=attn_rnn norm=qk": ("compiled", ""),
    "model=attn_rnn_inf norm=layer": ("autograd", "norm=layer in attn_rnn_inf"),
    "model=rnn model.nonlinearity=sigmoid norm=batch": ("autograd", "norm=batch in rnn_sigmoid"),
    "model=rnn regularizer=omega": ("closed form", "regularizer=omega"),
    "model=rnn regularizer=omega closed_form=false": ("autograd", "closed_form=false"),
    "model=lstm device=cuda": ("autograd", "device=cuda"),
}


@pytest.mark.parametrize("words", PATHS)
def test_what_has_no_compiled_form_runs_by_the_plain_step(compose, words):
    config = compose(*words.split())
    assert training_path(config) == PATHS[words]
    if config.device != "cuda":
        fleet = Fleet([config])
        assert fleet.training_path == PATHS[words][0]
        assert (fleet.compiled is not None) == (fleet.training_path == "compiled")
        assert (fleet.model.closed_form is None) == (fleet.training_path == "autograd")


def test_a_plan_tells_which_jobs_train_by_the_plain_step(capsys):
    assert main(["--dry-run", "-m", "model=rnn", "regularizer=none,omega", "seed=1,2"]) == 0
    line = "  by the plain step, which is slower: 2 of 4 jobs, because of regularizer=omega (2)\n"
    assert capsys.readouterr().out.endswith(line)
    assert main(["--dry-run", "model=rnn"]) == 0
    assert "plain step" not in capsys.readouterr().out


def test_a_result_tells_how_it_was_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "model=rnn", "task=easy", "steps=2", "batch_size=4", "eval_batches=1", "plot=false"
    for extra, path in (("clip=norm", "compiled"), ("closed_form=false", "autograd")):
        made = hw2exp.run(*words, "check_initial_loss=off", extra, f"hydra.run.dir={path}")
        assert made.result.training_path == path
