"""The job scripts for queues that are not here."""

import json
import os
import subprocess
import sys

import pytest

from hw2exp.sweeps import job_queue
from hw2exp.sweeps.job_state import last_word
from hw2exp.system.problems import ConfigError
from hw2exp.train import main

KNOBS = ("jobs=1", "cores=4", "memory=2GB", "queue=short", "interface=lo", "directives=[-A lab]")


PBS = ["-q short", "-l select=1:ncpus=4:mem=7630MB", "-l walltime=02:00:00", "-A lab"]
LSF = ["-q short", "-n 4", "-M 8000000", "-W 02:00", "-A lab"]


@pytest.mark.parametrize(
    ("name", "submit", "walltime", "wanted"),
    [("pbs", "qsub", "02:00:00", PBS), ("lsf", "bsub", "02:00", LSF)],
)
def test_a_job_script_asks_for_what_the_knobs_say(
    tmp_path, monkeypatch, compose, name, submit, walltime, wanted
):
    """A command that takes no job keeps the script."""
    command = tmp_path / submit
    command.write_text(f'#!/bin/sh\ncat "$@" > {tmp_path}/script; exit 1\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    knobs = [f"executor.{each}" for each in (*KNOBS, f"walltime={walltime}")]
    executor = compose("-m", f"executor={name}", *knobs).executor
    with pytest.raises(ConfigError, match=f"executor={name}: can't submit a job: .*{submit}"):
        executor.start(tmp_path, 1).__enter__()
    lines = (tmp_path / "script").read_text().splitlines()
    assert {f"#{name.upper()} {line}".replace("#LSF", "#BSUB") for line in wanted} <= set(lines)
    assert "--nworkers 4 " in lines[-1]
    assert "--nthreads 1 " in lines[-1]
    assert "tls://127.0.0.1:" in lines[-1]
    assert {path.name for path in tmp_path.iterdir()} == {submit, "script"}


def test_a_folder_that_a_job_script_cant_name_is_refused(tmp_path, compose):
    executor = compose("-m", "executor=slurm").executor
    with pytest.raises(ConfigError, match=r"executor=slurm: .*/my sweep: .*must have no spaces"):
        executor.start(tmp_path / "my sweep", 1).__enter__()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ('queue: "short\\ntouch canary"', "executor.queue=short touch canary: must be a name"),
        ("interface: $(touch canary)", "executor.interface=$(touch canary): must be a name"),
        ('directives: ["-A lab\\ntouch canary"]', "must be a line that begins with -"),
        ("directives: [touch canary]", "must be a line that begins with -"),
        ("directives: [--output=.bashrc]", "can't be set by a config file; must be typed"),
        ("directives: [-A lab --output=.bashrc]", "can't be set by a config file; must be typed"),
        ("directives: [-S /bin/evil]", "can't be set by a config file; must be typed"),
    ],
)
def test_a_config_file_puts_no_command_into_a_job_script(
    tmp_path, monkeypatch, capsys, line, wrong
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine/executor").mkdir(parents=True)
    (tmp_path / "mine/executor/site.yaml").write_text(f"defaults: [slurm, _self_]\n{line}\n")
    assert main(["--config-dir=mine", "-m", "executor=site", "seed=0,1"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert wrong in said
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_directives_of_a_site_are_taken_from_a_file_and_all_others_from_the_command(
    tmp_path, compose
):
    site = ["--account=lab", "-l select=1:ncpus=2", "--signal=B:USR1@120"]
    (tmp_path / "executor").mkdir()
    text = f"defaults: [slurm, _self_]\ndirectives: {json.dumps(site)}\n"
    (tmp_path / "executor/site.yaml").write_text(text)
    own = (f"--config-dir={tmp_path}", "-m", "executor=site")
    assert compose(*own).executor.directives == site
    assert compose(*own, 'executor.directives=["--output=log"]').executor.directives == [
        "--output=log"
    ]


def test_a_network_that_is_none_is_refused_in_a_line(tmp_path, compose):
    executor = compose("-m", "executor=slurm", "executor.interface=nope").executor
    with pytest.raises(ConfigError, match=r"executor=slurm: can't start the scheduler: .*'nope'"):
        executor.start(tmp_path, 1).__enter__()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "submit", "cancel", "state", "said"),
    [
        ("slurm", "sbatch", "scancel", "squeue", "FAILED"),
        ("slurm", "sbatch", "scancel", "squeue", "slurm_load_jobs error: Invalid job id specified"),
        ("pbs", "qsub", "qdel", "qstat", "qstat: Unknown Job Id 7.server"),
        ("pbs", "qsub", "qdel", "qstat", "7.server  dask-worker  me  00:00:01 C batch"),
        ("lsf", "bsub", "bkill", "bjobs", "EXIT"),
    ],
)
def test_jobs_that_end_before_a_worker_comes_stop_the_sweep(
    tmp_path, monkeypatch, compose, name, submit, cancel, state, said
):
    monkeypatch.setattr(job_queue, "LOOK", 0.1)
    monkeypatch.setattr(job_queue, "ASK", 0.1)
    folder, commands = tmp_path / "sweep", tmp_path / "commands"
    folder.mkdir()
    commands.mkdir()
    log = f"echo 'no such module' > $(echo {folder}/.jobs-*)/worker.err"
    for command, script in {
        submit: f"echo . >> {tmp_path}/submitted; {log}; echo 'Submitted batch job <7>'",
        state: f"echo '{said}'; exit 1",
        cancel: "exit 1",
    }.items():
        (commands / command).write_text(f"#!/bin/sh\n{script}\n")
        (commands / command).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    executor = compose("-m", f"executor={name}", "executor.interface=lo").executor
    wrong = f"executor={name}: 3 jobs ended before a worker came; the last one said: no such module"
    with pytest.raises(ConfigError, match=wrong):
        executor.start(folder, 1).__enter__()
    assert len((tmp_path / "submitted").read_text().split()) >= 3
    assert not list(folder.iterdir())


@pytest.mark.slow
def test_the_last_word_of_a_worker_is_what_went_wrong(tmp_path):
    words = ("-m", "distributed.cli.dask_worker", "tcp://127.0.0.1:1", "--interface", "nope")
    with (tmp_path / "worker.err").open("w") as log:
        subprocess.run([sys.executable, *words], stdout=log, stderr=log, timeout=120)
    assert last_word(tmp_path).startswith("ValueError: 'nope' is not a valid network interface")
