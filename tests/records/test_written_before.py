"""Folders that were written before results held their config are read, resumed and reported."""

import shutil
from pathlib import Path

import polars
import pytest

from hw2exp.compare.__main__ import main as compare
from hw2exp.records.run_dir import read_result
from hw2exp.records.runs import read_runs
from hw2exp.report.__main__ import main as report
from hw2exp.train import main

BEFORE = Path(__file__).with_name("written_before")
WORDS = ["task=easy", "model=rnn", "model.hidden_size=8", "batch_size=8", "eval_batches=1",
         "plot=false", "check_initial_loss=off", "log_every=5", "eval_every=10",
         "spikes.window=5", "spikes.margin=0.01", "spikes.deviations=0"]  # fmt: skip
RUN = [*WORDS, "steps=20", "checkpoint_every=8", "keep_checkpoints=1", "resume=run"]
SWEEP = ["-m", *WORDS, "steps=10", "checkpoint_every=0", "clip=none,norm", "seed=0,1"]


@pytest.fixture
def old(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind in ("run", "sweep"):
        shutil.copytree(BEFORE / kind, tmp_path / kind)
    return tmp_path


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_old_runs_are_read():
    found = read_runs(BEFORE)
    assert found.left_out == ()
    assert [len(arm.runs) for arm in found.arms] == [2, 1, 2]
    run = next(arm.runs[0] for arm in found.arms if len(arm.runs) == 1)
    assert not run.result.config
    assert (run.config.steps, run.config.batch_size, run.config.model.name) == (20, 8, "rnn")
    assert {arm.settings["clip"] for arm in found.arms} == {"none", "norm"}


def test_old_runs_that_ended_have_their_results(old, capsys):
    before = contents(old / "run"), contents(old / "sweep")
    assert main(RUN) == 0
    assert main([*SWEEP, "resume=sweep"]) == 0
    told = capsys.readouterr()
    assert "run has its result: nothing is left to do" in told.out
    assert "4 of 4 jobs have their result" in told.out
    assert told.err == ""
    assert contents(old / "run") == before[0]
    after = contents(old / "sweep")
    same = [path for path in before[1] if path.name != "multirun.yaml"]
    assert all(after[path] == before[1][path] for path in same)


def test_an_old_run_resumes_from_its_checkpoint(old, capsys):
    rows = polars.read_parquet(old / "run/metrics.parquet").filter(polars.col("step") < 20)
    assert main([word.replace("steps=20", "steps=30") for word in RUN]) == 0
    assert "resumes after step 19" in capsys.readouterr().out
    result = read_result(old / "run")
    assert (result.step, result.config["steps"]) == (30, 30)
    now = polars.read_parquet(old / "run/metrics.parquet")
    assert now.filter(polars.col("step") < 20).equals(rows)
    assert now["step"].to_list()[-1] == 30


def test_other_words_are_refused_as_ever(old, capsys):
    assert main([*RUN, "seed=1"]) == 2
    assert capsys.readouterr().err == "hw2exp: resume=run: it has seed=0, not 1\n"


@pytest.mark.slow
def test_old_runs_are_reported(old, capsys):
    assert report(["sweep"]) == 0
    assert "4 runs in 2 arms" in (old / "sweep/report/report.html").read_text()
    assert compare(["sweep", "run"]) == 0
