"""A sweep whose processes are killed, the one that leads or one that works, gives what it gives."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import hw2exp
from tests.survival.progress import steps_saved, wait_until

ROOT = Path(hw2exp.__file__).parent.parent
STEPS, RUNS, KILLS = 4000, 8, 4
JOBS = [
    "-m", "task=easy", f"steps={STEPS}", "eval_every=100", "eval_batches=2", "log_every=7",
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


def kill(process, victim, draw, folder):
    """Kill the leader or a worker, once up to a tenth of the steps left have been saved."""
    begun = steps_saved(folder)
    more = draw.uniform(0, 0.1) * (RUNS * STEPS - begun)
    if not wait_until(process, lambda: steps_saved(folder) > begun + more):
        return False
    pids = [process.pid] if victim == "leader" else workers_of(process)
    os.kill(draw.choice(pids), signal.SIGKILL)
    return True


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    process = start(folder, "workers=2", "hydra.sweep.dir=sweep")
    _, error = process.communicate(timeout=300)
    assert (process.returncode, error) == (0, "")
    return folder / "sweep"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.nightly
@pytest.mark.parametrize("victim", ["worker", "leader"])
def test_killed_again_and_again(tmp_path, whole, same, victim):
    draw, kills = random.Random(victim), 0
    for life in range(12):
        there = (tmp_path / "sweep").is_dir()
        where = "resume=sweep" if there else "hydra.sweep.dir=sweep"
        process = start(tmp_path, f"workers={1 + life % 3}", where)
        if kills < KILLS:
            kills += kill(process, victim, draw, tmp_path / "sweep")
        _, error = process.communicate(timeout=300)
        assert process.returncode in (0, 1, -signal.SIGKILL), error
        assert "Traceback" not in error
        assert "warning" not in error
        if process.returncode == 0:
            break
    assert process.returncode == 0
    assert kills == KILLS
    for job in range(RUNS):
        same(whole / str(job), [tmp_path / f"sweep/{job}"])
