"""A sweep in jobs of a real Slurm, which are warned, cancelled and timed out, gives what it gives."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hw2exp

ROOT = Path(hw2exp.__file__).parent.parent
SCRIPT = Path(__file__).with_name("slurm.sh")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
JOBS = [
    "-m", "task=easy", "model=rnn", "steps=20000", "eval_every=500", "eval_batches=2",
    "log_every=7", "plot=false", "checkpoint_every=100000", "batch_size=8", "seed=range(0,4)",
    "fleet_size=2",
]  # fmt: skip
QUEUE = ["executor=slurm", "executor.cores=2", "executor.interface=lo"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("slurmctld", path=PATH) is None,
        reason="there is no Slurm: needs slurmctld, slurmd, slurm-client and munge",
    ),
]


def call(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def start(folder, *words):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "hw2exp.train", *JOBS, *words],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def running():
    """Return the ids of the running jobs."""
    return call("squeue", "--noheader", "--states=running", "--format=%i").split()


def wait_until(condition, process):
    while not (found := condition()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    return found


def begin(folder, *words):
    """Start a sweep on Slurm; returns its process and the id of its job once all runs train."""
    process = start(folder, *QUEUE, "hydra.sweep.dir=sweep", *words)
    wait_until(lambda: len(list(folder.glob("sweep/*/events*"))) == 4, process)
    time.sleep(1)
    (job,) = running()
    return process, job


def wait_until_saved(folder, process):
    wait_until(lambda: len(list(folder.glob("sweep/*/checkpoints/step_*"))) == 4, process)


def end(process):
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert "Traceback" not in out + error
    return out


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Two nodes of two cores, at whose Slurm the commands find."""
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([SCRIPT, "start", folder], check=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        yield folder
        subprocess.run([SCRIPT, "stop", folder], check=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The sweep on this machine alone, without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    end(start(folder, "hydra.sweep.dir=sweep"))
    return folder / "sweep"


@pytest.mark.usefixtures("slurm")
def test_a_warned_job_saves_and_goes_on(tmp_path, whole, same):
    """As by ``--signal=B:USR1@60``, which warns the job's first process alone."""
    process, job = begin(tmp_path)
    call("scancel", "--batch", "--signal=USR1", job)
    wait_until_saved(tmp_path, process)
    assert running() == [job]
    end(process)
    same_as(whole, tmp_path, same)
    assert not running()


@pytest.mark.usefixtures("slurm")
def test_a_cancelled_job_is_submitted_again(tmp_path, whole, same):
    process, job = begin(tmp_path)
    call("scancel", job)
    wait_until_saved(tmp_path, process)
    other = wait_until(lambda: set(running()) - {job}, process)
    assert len(other) == 1
    end(process)
    same_as(whole, tmp_path, same)


@pytest.mark.usefixtures("slurm")
def test_a_job_at_its_walltime_is_submitted_again(tmp_path, whole, same):
    """Slurm looks for such jobs twice a minute."""
    process, job = begin(tmp_path)
    call("scontrol", "update", f"JobId={job}", "EndTime=now")
    wait_until_saved(tmp_path, process)
    end(process)
    assert "JobState=TIMEOUT" in call("scontrol", "show", "job", job)
    same_as(whole, tmp_path, same)


def same_as(whole, folder, same):
    for job in range(4):
        same(whole / str(job), [folder / f"sweep/{job}"])
    assert sorted(path.name for path in (folder / "sweep").iterdir()) == sorted(
        path.name for path in whole.iterdir()
    )


@pytest.mark.usefixtures("slurm")
def test_a_queue_that_is_not_there_is_refused_in_a_line(tmp_path):
    process = start(tmp_path, *QUEUE, "executor.queue=nowhere")
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert error.count("\n") == 1
    assert "executor=slurm" in error
    assert "Invalid partition name specified" in error
    assert not list(tmp_path.iterdir())
