"""A sweep in jobs of a real Slurm, warned, cancelled or timed out, gives what it gives alone."""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hw2exp.records.run_dir import read_result
from tests.sweeps.test_cluster import addresses, ended, listening, running, until

SCRIPT = Path(__file__).with_name("slurm.sh")
MISSING = shutil.which("slurmctld", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None
pytestmark = [
    pytest.mark.skipif(MISSING, reason="needs slurmctld, slurmd, slurm-client and munge"),
    pytest.mark.usefixtures("slurm"),
]

RUNS, STEPS = 4, 40_000
SWEEP = (
    "-m", "hw2exp.train", "-m", "model=rnn", f"seed=range(0,{RUNS})", "fleet_size=2", "task=easy",
    f"steps={STEPS}", "batch_size=8", "eval_every=500", "eval_batches=2", "log_every=50",
    "plot=false", "checkpoint_every=100000",
)  # fmt: skip
QUEUE = ("executor=slurm", "executor.cores=2", "executor.interface=lo")


def call(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Two nodes of two cores; commands find them by the environment."""
    folder = tmp_path_factory.mktemp("slurm")
    call(SCRIPT, "start", folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        yield folder
    call(SCRIPT, "stop", folder)


def digests(folder):
    results = [read_result(folder / "sweep" / str(run)) for run in range(RUNS)]
    return [(each.parameters_sha256, each.metrics_sha256) for each in results]


def saved(folder):
    """The step of each run's newest checkpoint, from 0 on, or -1."""
    checkpoints = [folder.glob(f"sweep/{run}/checkpoints/step_*") for run in range(RUNS)]
    return [max((int(path.name[5:]) for path in each), default=-1) for each in checkpoints]


def on_the_way(folder):
    """Whether all runs have saved, and none has ended."""
    return all(-1 < step < STEPS - 1 for step in saved(folder))


def jobs():
    return call("squeue", "--noheader", "--states=running", "--format=%i").split()


@contextmanager
def started(folder):
    """A sweep on Slurm, all of whose runs train, and the id of its job."""
    with running(folder, *SWEEP, *QUEUE, "hydra.sweep.dir=sweep") as process:
        until(lambda: len(list(folder.glob("sweep/*/events*"))) == RUNS, process)
        (job,) = jobs()
        yield process, job


def ended_alike(process, folder, whole):
    _, lines = ended(process)
    assert all(re.match(r"hw2exp: warning: \S+:\d+ is gone; its fleet", line) for line in lines)
    assert digests(folder) == whole
    assert {path.name for path in (folder / "sweep").iterdir()} == {
        "arms", "multirun.yaml", *map(str, range(RUNS)),
    }  # fmt: skip
    assert not jobs()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with running(folder, *SWEEP, "hydra.sweep.dir=sweep") as process:
        ended(process)
    return digests(folder)


@pytest.mark.nightly
def test_a_cancelled_job_saves_and_another_is_submitted(tmp_path, whole, slurm):
    with started(tmp_path) as (process, job):
        assert addresses(of_slurm(slurm)) == {"127.0.0.1"}
        call("scancel", job)
        until(lambda: on_the_way(tmp_path), process)
        until(lambda: set(jobs()) - {job}, process)
        ended_alike(process, tmp_path, whole)


def of_slurm(folder):
    """The processes that Slurm or a sweep on it has started."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if os.fsencode(folder) in path.read_bytes():
                yield int(path.parent.name)


@pytest.mark.nightly
def test_a_job_saves_when_warned_and_another_follows_at_its_walltime(tmp_path, whole):
    with started(tmp_path) as (process, job):
        # Like --signal=B:USR1@60, this warns the first process of the job, and no other.
        call("scancel", "--batch", "--signal=USR1", job)
        until(lambda: on_the_way(tmp_path), process)
        assert jobs() == [job]
        call("scontrol", "update", f"JobId={job}", "EndTime=now")
        # Slurm looks for jobs at their walltime twice a minute: let this one not end before.
        call("scancel", "--full", "--signal=STOP", job)
        warned = saved(tmp_path)
        until(lambda: set(jobs()) - {job}, process)
        assert all(step > before for step, before in zip(saved(tmp_path), warned, strict=True))
        ended_alike(process, tmp_path, whole)
    assert "JobState=TIMEOUT" in call("scontrol", "show", "job", job)


def speaks_tls(address, port):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((address, int(port, 16)), timeout=10) as plain:
        try:
            context.wrap_socket(plain).close()
        except OSError:
            return False
    return True


@pytest.mark.slow
def test_all_that_is_seen_from_outside_speaks_tls(tmp_path, slurm):
    anywhere = ("executor=slurm", "executor.cores=2")
    with running(tmp_path, *SWEEP, *anywhere, "hydra.sweep.dir=sweep") as process:
        until(lambda: len(list(tmp_path.glob("sweep/*/events*"))) == RUNS, process)
        found = listening(of_slurm(slurm))
        outside = {place for place in found if not place[0].startswith("127.")}
        assert len(outside) >= 3  # the scheduler, and each worker
        assert not [place for place in outside if not speaks_tls(*place)]
        (credentials,) = tmp_path.glob("sweep/.jobs-*")
        assert credentials.stat().st_mode & 0o777 == 0o700
        os.killpg(process.pid, signal.SIGINT)
        ended(process, 130)


@pytest.mark.nightly
@pytest.mark.usefixtures("whole")  # so that kernels are compiled
def test_an_interrupt_between_two_jobs_ends_the_sweep(tmp_path):
    with started(tmp_path) as (process, job):
        other = submit_other()  # the sweep's next job waits behind it
        call("scancel", job)
        until(lambda: job not in jobs() and on_the_way(tmp_path), process)
        os.killpg(process.pid, signal.SIGINT)
        began = time.monotonic()
        output, _ = ended(process, 130)
        assert time.monotonic() - began < 10
        call("scancel", other)
    assert "the same command with resume=sweep" in output


def submit_other():
    """Submit a job that needs all nodes, and return its id."""
    words = "--parsable", "--nodes=2", "--cpus-per-task=2", "--output=/dev/null", "--wrap=sleep 300"
    return call("sbatch", *words).strip()


@pytest.mark.slow
def test_what_the_queue_refuses_is_said_in_a_line(tmp_path):
    with running(tmp_path, *SWEEP, *QUEUE, "executor.queue=nowhere") as process:
        _, (line,) = ended(process, 2)
    assert "executor=slurm: can't submit a job: sbatch: error" in line
    assert line.endswith("Invalid partition name specified")
    assert not list(tmp_path.iterdir())


@pytest.mark.nightly
def test_an_interrupt_takes_waiting_jobs_back(tmp_path):
    other = submit_other()
    with running(tmp_path, *SWEEP, *QUEUE) as process:
        assert "1 job submitted" in process.stdout.readline()
        until(lambda: call("squeue", "--noheader", "--states=pending"), process)
        os.killpg(process.pid, signal.SIGINT)
        ended(process, 130)
    # A job that is cancelled may still be completing, those of earlier tests too.
    left = call("squeue", "--noheader", "--states=pending,running", "--format=%i")
    assert left.split() == [other]
    assert not list(tmp_path.iterdir())
    call("scancel", other)
