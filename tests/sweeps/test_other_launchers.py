"""Hydra's other launchers: a process a job, the same runs as in fleets."""

import re

import pytest

from hw2exp.records.run_dir import read_result
from hw2exp.sweeps import command_run
from hw2exp.train import main

SHORT = ["task=easy", "model=rnn", "batch_size=8", "steps=20", "eval_batches=2", "plot=false"]
PACKAGES = {
    "joblib": "hydra_plugins.hydra_joblib_launcher",
    "submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "submitit_slurm": "hydra_plugins.hydra_submitit_launcher",
}


def digests(folder):
    results = [read_result(path) for path in sorted(folder.glob("[0-9]"))]
    return [(each.parameters_sha256, each.metrics_sha256) for each in results]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_its_runs_are_those_of_fleets(tmp_path, monkeypatch, capfd, launcher):
    pytest.importorskip(PACKAGES[launcher])
    monkeypatch.chdir(tmp_path)
    words = ["-m", *SHORT, "seed=0,1", "optimizer=sgd", "optimizer.lr=0.01,1e38"]
    words.append("fail_on_divergence=true")
    assert main([*words, "hydra.sweep.dir=fleets"]) == 3
    apart = [*words, f"hydra/launcher={launcher}"]
    assert main([*apart, "hydra.sweep.dir=apart"]) == 3
    table = re.compile(r"optimizer.lr=1e\+?38 +2 +0 +0 +2 ")  # two runs, both diverged
    assert len(table.findall(capfd.readouterr().out)) == 2
    assert digests(tmp_path / "apart") == digests(tmp_path / "fleets") != []
    (tmp_path / "apart/1/result.json").unlink()
    assert main([*apart, "resume=apart"]) == 3
    assert digests(tmp_path / "apart") == digests(tmp_path / "fleets")


@pytest.mark.slow
def test_a_job_without_a_result_is_named(tmp_path, capfd):
    pytest.importorskip(PACKAGES["joblib"])
    words = ["-m", *SHORT, "init.scale=1,100", "check_initial_loss=error", "hydra/launcher=joblib"]
    words.append(f"hydra.sweep.dir={tmp_path}/sweep")  # joblib keeps workers, and their folder
    assert main(words) == 1
    captured = capfd.readouterr()
    assert re.search(r"job 1 \(.*init.scale=100 .*\): left no result\n", captured.err)
    assert f"resume={tmp_path}/sweep" in captured.out


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["hydra/launcher=ray"], "hydra/launcher=ray: none of those that are tried and trusted;"),
        (["hydra/launcher=submitit_local", "hydra.launcher.setup=[touch x]"], "can't be set;"),
        (["hydra/launcher=submitit_slurm", "hydra.launcher.partition='a\nb'"], "must be a number"),
        (["hydra/launcher=submitit_slurm"], "there is no Slurm here: no command srun"),
    ],
)
def test_what_is_refused(tmp_path, monkeypatch, capsys, words, problem):
    if "submitit" in words[0]:
        pytest.importorskip(PACKAGES["submitit_slurm"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    assert main(["-m", *SHORT, "seed=0,1", *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert problem in error
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_not_installed_names_the_extra(tmp_path, monkeypatch, capsys):
    from hw2exp.config.composition import Composition

    known = Composition.choices
    monkeypatch.setattr(
        Composition, "choices", lambda self, group: [*{*known(self, group)} - {*PACKAGES}]
    )
    monkeypatch.chdir(tmp_path)
    assert main(["-m", *SHORT, "seed=0,1", "hydra/launcher=joblib"]) == 2
    problem = "hydra/launcher=joblib: is not installed; pip install 'hw2exp[launchers]'"
    assert problem in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_cell_that_its_processes_do_not_know(tmp_path, monkeypatch, capsys):
    pytest.importorskip(PACKAGES["joblib"])
    monkeypatch.setattr(command_run, "own_choices", lambda configs: {"model=rnn": "0" * 64})
    monkeypatch.chdir(tmp_path)
    assert main(["-m", *SHORT, "seed=0,1", "hydra/launcher=joblib"]) == 2
    problem = "hydra/launcher=joblib with model=rnn: its processes don't import this"
    assert problem in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
