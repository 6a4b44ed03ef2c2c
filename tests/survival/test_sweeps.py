"""A sweep whose processes are killed, the one that leads or one that works, gives what it gives."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hw2exp

ROOT = Path(hw2exp.__file__).parent.parent
JOBS = [
    "-m", "task=easy", "steps=24000", "eval_every=100", "eval_batches=2", "log_every=7",
    "plot=false", "checkpoint_every=50", "batch_size=8", "model=rnn,lstm", "seed=range(0,4)",
    "fleet_size=2",
]  # fmt: skip


def start(folder, *words):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "hw2exp.train", *JOBS, *words],
        cwd=folder, env=environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def children(pid):
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = status.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(text.rpartition(")")[2].split()[1]) == pid:
            found.append(int(status.parent.name))
    return found


def workers_of(process):
    return [worker for server in children(process.pid) for worker in children(server)]


def kill(process, victim, draw):
    """Kill the leader some time after its start, or a worker some time after it has one."""
    time.sleep(1.4 if victim == "leader" else 0.0)
    while victim == "worker" and process.poll() is None and not workers_of(process):
        time.sleep(0.02)
    time.sleep(draw.uniform(0, 2))
    pids = [process.pid] if victim == "leader" else workers_of(process)
    if process.poll() is not None or not pids:
        return False
    os.kill(draw.choice(pids), signal.SIGKILL)
    return True


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    process = start(folder, "workers=2", "hydra.sweep.dir=sweep")
    _, error = process.communicate(timeout=100)
    assert (process.returncode, error) == (0, "")
    return folder / "sweep"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("victim", ["leader", "worker"])
def test_killed_again_and_again(tmp_path, whole, same, victim):
    draw, kills = random.Random(victim), 0
    for life in range(12):
        there = (tmp_path / "sweep").is_dir()
        where = "resume=sweep" if there else "hydra.sweep.dir=sweep"
        process = start(tmp_path, f"workers={1 + life % 3}", where)
        if kills < 8:
            kills += kill(process, victim, draw)
        _, error = process.communicate(timeout=100)
        assert process.returncode in (0, 1, -signal.SIGKILL), error
        assert "Traceback" not in error
        assert "warning" not in error
        if process.returncode == 0:
            break
    assert process.returncode == 0
    assert kills >= 3
    for job in range(8):
        same(whole / str(job), [tmp_path / f"sweep/{job}"])
