"""A sweep that loses a worker, and one that resumes where another ended."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hw2exp.records.run_dir import read_finished

ARGUMENTS = (
    "-m", "model=gated_rnn,rnn", "seed=0,1", "task=easy", "steps=4000", "eval_every=500",
    "eval_batches=2", "plot=false", "workers=2", "fleet_size=2",
)  # fmt: skip

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for the workers in /proc")


def start(folder, *more):
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "hw2exp.train", *ARGUMENTS, *more],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def children(pid):
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            parent = re.search(r"PPid:\s+(\d+)", status.read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent and int(parent[1]) == pid:
            found.append(int(status.parent.name))
    return found


def workers_of(process):
    return [worker for server in children(process.pid) for worker in children(server)]


def digests(folder):
    results = [read_finished(folder / str(job), 4000, 100) for job in range(4)]
    return [result and (result.parameters_sha256, result.metrics_sha256) for result in results]


@pytest.mark.slow
@linux
def test_a_killed_worker_fails_its_own_jobs_and_resume_runs_just_these(tmp_path):
    process = start(tmp_path, "hydra.sweep.dir=whole")
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    whole = digests(tmp_path / "whole")
    assert None not in whole

    process = start(tmp_path, "hydra.sweep.dir=sweep")
    while len(workers_of(process)) < 2 or not any(
        (tmp_path / "sweep" / job).glob("events*") for job in "0123"
    ):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(workers_of(process)[0], signal.SIGKILL)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    lines = error.splitlines()
    assert len(lines) == 1
    assert "was killed by signal 9" in lines[0]
    lost = [
        int(job) for job in re.match(r"hw2exp: \d jobs \(([\d, ]+)\): ", lines[0])[1].split(",")
    ]
    left = digests(tmp_path / "sweep")
    assert [job for job in range(4) if left[job] is None] == lost
    kept = {job: (tmp_path / f"sweep/{job}/result.json").stat() for job in {0, 1, 2, 3} - {*lost}}

    process = start(tmp_path, "resume=sweep")
    output, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert "2 of 4 jobs have their result" in output
    assert digests(tmp_path / "sweep") == whole
    for job, before in kept.items():
        assert (tmp_path / f"sweep/{job}/result.json").stat().st_mtime_ns == before.st_mtime_ns
    for job in lost:  # nothing of the first try is left
        assert len(list((tmp_path / "sweep" / str(job)).glob("events*"))) == 1


@pytest.mark.slow
@linux
def test_workers_end_when_the_sweep_is_killed(tmp_path):
    process = start(tmp_path, "steps=10000000")
    while len(workers_of(process)) < 2:
        time.sleep(0.01)
    workers = workers_of(process)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
