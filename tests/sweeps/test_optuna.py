"""Optuna chooses the values; each batch of its trials arrives as one fleet."""

import math

import pytest
import yaml

from hw2exp.config.command_line import read
from hw2exp.train import main

pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
pytest.importorskip("optuna").logging.set_verbosity(40)

OPTUNA = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=5", "hydra.sweeper.n_jobs=2"]
SPACE = ["optimizer.lr=tag(log, interval(1e-4,1e-1))", "model=rnn,lstm", "steps=30"]


def test_a_search_space_is_let_through():
    command = read(["-m", *OPTUNA, *SPACE, "batch_size=int(tag(log, interval(4,8)))"])
    assert [job.config.steps for job in command.jobs] == [30]


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        ("optimizer.lr=interval(-1,1)", "optimizer.lr=-1.0: must be a finite number > 0"),
        ("model=rnn,lstmm", "did you mean lstm?"),
        (
            "seed=interval(0,9)",
            "must be an integer >= 0 and <= 9223372036854775807; type seed=int(",
        ),
        ("batch_size=tag(log, interval(4,8))", "type batch_size=int(tag(log, interval(4,8)))"),
        ("optimizer.lrr=interval(0.1,1)", "did you mean optimizer.lr?"),
    ],
)
def test_a_wrong_search_space_is_refused(tmp_path, monkeypatch, capsys, space, problem):
    monkeypatch.chdir(tmp_path)
    assert main(["-m", *OPTUNA, space]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert problem in error
    assert list(tmp_path.iterdir()) == []


def test_it_cannot_be_resumed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["-m", *OPTUNA, *SPACE, "resume=sweep"]) == 2
    assert "resume=sweep: only a sweep over given values" in capsys.readouterr().err


def test_trials_come_in_fleets_and_the_best_is_found(sweep, tmp_path):
    calls = []

    def fleet(jobs, held):
        calls.append([job.number for job in jobs])
        return [abs(math.log10(job.plain["optimizer"]["lr"]) + 2) for job in jobs]

    sweep(*OPTUNA, *SPACE, "hydra.sweep.dir=sweep", fleet=fleet)
    assert calls == [[0, 1], [2, 3], [4]]
    found = yaml.safe_load((tmp_path / "sweep/optimization_results.yaml").read_text())
    rates = []
    for number in range(5):
        config = yaml.safe_load((tmp_path / f"sweep/{number}/.hydra/config.yaml").read_text())
        rates.append(config["optimizer"]["lr"])
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    assert len(set(rates)) == 5
    assert found["best_params"]["optimizer.lr"] == min(rates, key=lambda r: abs(math.log10(r) + 2))


def test_the_command_minimizes_the_final_test_loss(tmp_path, monkeypatch, capsys):
    from hw2exp.records.run_dir import read_result

    monkeypatch.chdir(tmp_path)
    short = ["task=easy", "eval_every=10", "eval_batches=2", "plot=false"]
    assert main(["-m", *OPTUNA, *SPACE, *short, "hydra.sweep.dir=sweep"]) == 0
    found = yaml.safe_load((tmp_path / "sweep/optimization_results.yaml").read_text())
    losses = [read_result(tmp_path / f"sweep/{n}").final["test_loss"] for n in range(5)]
    assert found["best_value"] == min(losses)


def test_the_trials_of_a_batch_are_compared(tmp_path, monkeypatch):
    from hw2exp.records.run_dir import read_result

    monkeypatch.chdir(tmp_path)
    short = ["task=easy", "steps=30", "eval_every=10", "eval_batches=2", "plot=false"]
    batch = ["hydra.sweeper.n_trials=8", "hydra.sweeper.n_jobs=4", "hydra.sweep.dir=sweep"]
    prune = ["prune=asha", "prune.first_rung=10", "prune.reduction=2", "model=rnn"]
    assert main(["-m", OPTUNA[0], *batch, SPACE[0], *short, *prune]) == 0
    for first in (0, 4):
        own = [read_result(tmp_path / f"sweep/{first + n}") for n in range(4)]
        assert sorted(result.pruned_at or 30 for result in own) == [10, 10, 20, 30]
    found = yaml.safe_load((tmp_path / "sweep/optimization_results.yaml").read_text())
    losses = [read_result(tmp_path / f"sweep/{n}").final["test_loss"] for n in range(8)]
    assert found["best_value"] == min(losses)


def test_a_study_in_a_file_resumes(sweep, tmp_path):
    def fleet(jobs, held):
        return [job.plain["optimizer"]["lr"] for job in jobs]

    storage = ["hydra.sweeper.storage=sqlite:///study.db", "hydra.sweeper.study_name=mine"]
    best = []
    for name in ("first", "second"):
        sweep(*OPTUNA, *storage, SPACE[0], f"hydra.sweep.dir={name}", fleet=fleet)
        found = yaml.safe_load((tmp_path / name / "optimization_results.yaml").read_text())
        best.append(found["best_value"])
    assert best[1] <= best[0]
    import sqlite3

    with sqlite3.connect(tmp_path / "study.db") as database:
        assert database.execute("select count(*) from trials").fetchone() == (10,)
