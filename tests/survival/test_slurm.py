"""A sweep in jobs of a real Slurm, warned, cancelled and timed out, gives what it gives alone."""

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
STEPS = 20_000
JOBS = [
    "-m", "task=easy", "model=rnn", f"steps={STEPS}", "eval_every=500", "eval_batches=2",
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


def begin(folder):
    """Start a sweep on Slurm; returns its process and the id of its job once all runs train."""
    process = start(folder, *QUEUE, "hydra.sweep.dir=sweep")
    wait_until(lambda: len(list(folder.glob("sweep/*/events*"))) == 4, process)
    (job,) = running()
    return process, job


def wait_until_saved(folder, process):
    wait_until(lambda: all(0 < step < STEPS - 1 for step in saved(folder)), process)


def saved(folder):
    """Return the step of each run's newest checkpoint, or 0."""
    checkpoints = [folder.glob(f"sweep/{run}/checkpoints/step_*") for run in range(4)]
    return [max((int(path.name[5:]) for path in each), default=0) for each in checkpoints]


def end(process):
    out, error = process.communicate(timeout=200)
    assert (process.returncode, error) == (0, "")
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
def test_a_cancelled_job_saves_and_another_is_submitted(tmp_path, whole, same):
    process, job = begin(tmp_path)
    call("scancel", job)
    wait_until_saved(tmp_path, process)
    wait_until(lambda: set(running()) - {job}, process)
    end(process)
    same_as(whole, tmp_path, same)


@pytest.mark.usefixtures("slurm")
def test_a_job_saves_when_warned_and_another_follows_at_its_walltime(tmp_path, whole, same):
    process, job = begin(tmp_path)
    # Like --signal=B:USR1@60, this warns the first process of the job, and no other.
    call("scancel", "--batch", "--signal=USR1", job)
    wait_until_saved(tmp_path, process)
    assert running() == [job]
    call("scontrol", "update", f"JobId={job}", "EndTime=now")
    # Slurm looks for jobs at their walltime twice a minute; let this one not end before.
    call("scancel", "--full", "--signal=STOP", job)
    warned = saved(tmp_path)
    wait_until(lambda: set(running()) - {job}, process)
    assert "JobState=TIMEOUT" in call("scontrol", "show", "job", job)
    assert all(later > step for later, step in zip(saved(tmp_path), warned, strict=True))
    end(process)
    same_as(whole, tmp_path, same)


def same_as(whole, folder, same):
    for run in range(4):
        same(whole / str(run), [folder / f"sweep/{run}"])
    assert {path.name for path in (folder / "sweep").iterdir()} == {
        path.name for path in whole.iterdir()
    }
    assert not running()


@pytest.mark.usefixtures("slurm")
def test_a_queue_that_is_not_there_is_refused_in_a_line(tmp_path):
    process = start(tmp_path, *QUEUE, "executor.queue=nowhere")
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert error.count("\n") == 1
    assert "executor=slurm" in error
    assert "Invalid partition name specified" in error
    assert not list(tmp_path.iterdir())
