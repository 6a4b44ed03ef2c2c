"""The job scripts for queues that are not here."""

import os

import pytest

from hw2exp.system.problems import ConfigError

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
