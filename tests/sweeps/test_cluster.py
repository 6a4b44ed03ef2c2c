"""A sweep on a Dask cluster gives what it gives on one machine, whatever dies meanwhile."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from distributed import Client

from hw2exp.records.run_dir import read_result
from hw2exp.train import main
from tests.test_docs import block

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
pytestmark = linux

SWEEP = (
    "-m", "model=rnn,lstm", "seed=range(0,4)", "fleet_size=2", "task=easy", "steps=12000",
    "batch_size=8", "eval_every=500", "eval_batches=2", "log_every=50", "plot=false",
    "checkpoint_every=200",
)  # fmt: skip
JOBS = 8
LOCAL_CLUSTER = ("executor=dask", "executor.workers=2", "executor.deaths=20")


@contextmanager
def running(folder, *command, **more):
    """A process in a group of its own, which is killed at the end if it still lives."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=folder, env=environment | more, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def sweep(folder, *words, **more):
    return running(folder, "-m", "hw2exp.train", *SWEEP, *words, **more)


def ended(process, status=0):
    """The output and the error lines of a command that ends with a status."""
    output, error = process.communicate(timeout=120)
    assert process.returncode == status, (output, error)
    return output, error.splitlines()


def digests(folder):
    found = []
    for job in range(JOBS):
        result = json.loads((folder / str(job) / "result.json").read_text())
        assert result["step"] == 12000
        found.append((result["parameters_sha256"], result["metrics_sha256"]))
    return found


def saved(folder):
    """How many checkpoints' worth of steps the runs of a sweep have saved together."""
    steps = [0]
    for path in folder.glob("*/checkpoints/step_*"):
        steps.append(int(path.name.removeprefix("step_")))
    return sum(steps)


def until(holds, process):
    deadline = time.monotonic() + 120
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def descendants(pid):
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def working(folder):
    """The processes that hold the folders of runs: those of the fleets that train now."""
    signed = (path.read_text() for path in folder.glob("[0-9]*/.lock"))
    pids = {int(found[1]) for text in signed if (found := re.match(r"process (\d+)", text))}
    return sorted(pid for pid in pids if Path(f"/proc/{pid}").exists())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with sweep(folder, "hydra.sweep.dir=sweep") as process:
        ended(process)
    return digests(folder / "sweep")


@pytest.mark.nightly
def test_ten_workers_are_killed(tmp_path, whole):
    folder = tmp_path / "sweep"
    with sweep(tmp_path, *LOCAL_CLUSTER, "hydra.sweep.dir=sweep") as process:
        for kill in range(10):
            until(lambda kill=kill: saved(folder) > 5000 * kill and working(folder), process)
            os.kill(working(folder)[0], signal.SIGKILL)
        _, lines = ended(process)
    assert digests(folder) == whole
    assert len(lines) >= 5
    assert all(re.match(r"hw2exp: warning: \S+:\d+ is gone; its fleet", line) for line in lines)


def listening(pids):
    """The addresses and ports on which processes listen; by IPv6, the kernel's words for them."""
    sockets = set()
    for pid in pids:
        with suppress(FileNotFoundError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(FileNotFoundError):
                    sockets |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(link)))
    tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
    rows = [line.split() for text in tables for line in text.splitlines()]
    found = (row[1].split(":") for row in rows if row[3] == "0A" and row[9] in sockets)
    return {
        (socket.inet_ntoa(bytes.fromhex(address)[::-1]) if len(address) == 8 else address, port)
        for address, port in found
    }


def addresses(pids):
    return {address for address, _ in listening(pids)}


@pytest.mark.slow
def test_ctrl_c_saves_and_no_port_is_seen_from_outside(tmp_path, whole):
    folder = tmp_path / "sweep"
    with sweep(tmp_path, *LOCAL_CLUSTER, "hydra.sweep.dir=sweep") as process:
        until(lambda: saved(folder) > 2000, process)
        assert addresses(descendants(process.pid)) == {"127.0.0.1"}
        leaving = working(folder)[0]
        os.kill(leaving, signal.SIGTERM)  # as at a walltime: it saves and leaves, and is not missed
        until(lambda: saved(folder) > 4000 and leaving not in working(folder), process)
        os.killpg(process.pid, signal.SIGINT)
        began = time.monotonic()
        output, lines = ended(process, 130)
        assert time.monotonic() - began < 15
    assert len(lines) <= 1
    assert all(f":{leaving} is gone; its fleet" in line for line in lines)
    assert not (folder / ".fleets").exists()
    assert saved(folder) > 4000
    with sweep(tmp_path, *LOCAL_CLUSTER, "resume=sweep") as process:
        output, lines = ended(process)
    assert lines == []
    assert "resume from a checkpoint" in output
    assert digests(folder) == whole


@pytest.mark.nightly
def test_a_fleet_that_kills_is_given_up_and_the_others_finish(tmp_path):
    folder = tmp_path / "sweep"
    words = ("executor=dask", "executor.workers=2", "executor.deaths=1", "steps=6000")
    with sweep(tmp_path, *words, "hydra.sweep.dir=sweep") as process:
        until(lambda: saved(folder) > 500 and working(folder), process)
        os.kill(working(folder)[0], signal.SIGKILL)
        _, (line,) = ended(process, 1)
    assert re.search(
        r"2 jobs \(\d, \d\): 1 worker died under its fleet, the last one at tls:", line
    )
    assert len(list(folder.glob("*/result.json"))) == JOBS - 2


class Cluster:
    """A scheduler and workers of the user's own, on loopback.

    Args:
        folder: the folder in which they run.
    """

    def __init__(self, folder):
        self.folder = folder
        self.stack = ExitStack()
        words = ("-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0")
        self.file = folder / "scheduler.json"
        self.scheduler = self._start(*words, "--no-dashboard", "--scheduler-file", str(self.file))
        until(self._file_is_complete, self.scheduler)
        self.address = json.loads(self.file.read_text())["address"]

    def _file_is_complete(self):
        """Tell a scheduler's file that stands from one that is half written."""
        return self.file.exists() and self.file.read_text().endswith("\n}")

    def _start(self, *command, before=()):
        log = self.stack.enter_context((self.folder / "log").open("a"))
        process = subprocess.Popen(
            [*before, sys.executable, *command],
            cwd=self.folder, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        self.stack.callback(process.wait)
        self.stack.callback(lambda: process.poll() is None and os.killpg(process.pid, 9))
        return process

    def worker(self, *words, before=()):
        """Start a worker; it may take a while until it is there."""
        own = ("-m", "distributed.cli.dask_worker", self.address, "--host", "127.0.0.1")
        return self._start(*own, "--nthreads", "1", "--no-dashboard", *words, before=before)

    def preload(self, program):
        """Start a worker that runs a program first."""
        path = self.folder / f"preload{len(list(self.folder.iterdir()))}.py"
        path.write_text(program)
        return self.worker("--preload", str(path))

    def until_workers(self, count):
        """Wait for workers."""
        with Client(self.address) as client:
            client.wait_for_workers(count, timeout=100)


@pytest.fixture
def cluster(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    with made.stack:
        yield made


OTHER_VERSION = """
from hw2exp.records import run_dir
own = run_dir.versions() | {"numpy": "1.0"}
run_dir.versions = lambda: own
"""
NO_LOCKS = "import fcntl; fcntl.flock = lambda file, how: None"


def led_anew(folder, token):
    """Whether another process leads than the one with this token."""
    path = folder / ".fleets/token"
    try:
        return path.read_text() not in ("", token)
    except FileNotFoundError:  # it is being replaced
        return False


@pytest.mark.nightly
def test_whoever_leads_or_schedules_is_killed(tmp_path, whole, cluster):
    folder, there = tmp_path / "sweep", ("executor=dask", f"executor.scheduler={cluster.address}")
    with sweep(tmp_path, *there, "hydra.sweep.dir=sweep") as process:
        until((folder / ".fleets/token").exists, process)  # and waits for a worker
        with sweep(tmp_path, *there, "resume=sweep") as second:
            _, (line,) = ended(second, 2)
        assert re.search(r"sweep: process \d+ on \S+ works there", line)
        for _ in range(2):
            cluster.worker()
        until(lambda: saved(folder) > 4000, process)
        first = (folder / ".fleets/token").read_text()
        process.kill()
    # Its workers save and let go of the runs; the next leader has them at once.
    with sweep(tmp_path, *there, "resume=sweep") as process:
        until(lambda: led_anew(folder, first), process)
        until(lambda: any(folder.glob(".fleets/*/*.json")), process)  # its fleets train
        late = cluster.preload(OTHER_VERSION)
        cluster.until_workers(3)
        before = saved(folder)
        until(lambda: saved(folder) > before + 4000, process)
        assert not descendants(late.pid) & set(working(folder))
        cluster.scheduler.kill()
        _, lines = ended(process, 1)
    assert "numpy 1.0, not" in lines[0]
    assert re.search(f"the scheduler {cluster.address} is gone.*resume=sweep", lines[-1])
    assert len(lines) == 2
    with sweep(tmp_path, "resume=sweep") as process:
        _, lines = ended(process)
    assert lines == []
    assert digests(folder) == whole


@pytest.mark.nightly
def test_a_machine_that_cant_take_part_is_named(tmp_path, cluster):
    cluster.preload(OTHER_VERSION)
    cluster.preload(NO_LOCKS)
    cluster.worker("--name", "no module")
    apart = os.geteuid() == 0 and shutil.which("unshare") is not None
    if apart:
        hidden = f'mount -t tmpfs none {tmp_path} && exec "$@"'
        cluster.worker(before=("unshare", "-m", "sh", "-c", hidden, "sh"))
    cluster.until_workers(4 if apart else 3)
    (tmp_path / "my_cells.py").write_text(block("python", '@register_cell("leaky_rnn"'))
    own = ("--import", "my_cells", "executor=dask", f"executor.scheduler={cluster.address}")
    with sweep(tmp_path, *own, "hydra.sweep.dir=outputs/sweep") as process:
        _, (line,) = ended(process, 2)
    host = socket.gethostname()
    assert f"{host}: has numpy 1.0, not" in line
    assert f"{host}: can't import my_cells: ModuleNotFoundError" in line
    assert {path.name for path in tmp_path.iterdir()} <= {"__pycache__", "my_cells.py"}
    with sweep(tmp_path, *own[2:], "hydra.sweep.dir=outputs/sweep") as process:
        _, (line,) = ended(process, 2)
    assert f"{host}: doesn't see the lock on" in line
    assert ("must be on a shared disk" in line) == apart
    assert {path.name for path in tmp_path.iterdir()} <= {"__pycache__", "my_cells.py"}


@pytest.mark.nightly
def test_nothing_stays_on_the_scheduler_of_a_sweep_that_doesnt_begin(tmp_path, cluster):
    def plugins(dask_scheduler):
        return [name for name in dask_scheduler.worker_plugins if name.startswith("hw2exp")]

    there = ("executor=dask", f"executor.scheduler={cluster.address}")
    with sweep(tmp_path, *there) as process:
        assert "waiting for the first worker" in process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        ended(process, 130)
    assert not list(tmp_path.iterdir())
    cluster.preload("import sys; sys.modules['hw2exp'] = None")
    cluster.until_workers(1)
    with sweep(tmp_path, *there) as process:
        _, (line,) = ended(process, 2)
    assert re.search("a worker can't take part: .*No module named 'hw2exp", line)
    assert "needs the same hw2exp" in line
    assert not list(tmp_path.iterdir())
    with Client(cluster.address) as client:
        assert client.run_on_scheduler(plugins) == []


@pytest.mark.slow
@pytest.mark.parametrize("address", ["tcp://h:abc", "ucx://x", "tls://127.0.0.1:1"])
def test_an_address_that_is_none_is_refused_in_a_line(tmp_path, monkeypatch, capsys, address):
    monkeypatch.chdir(tmp_path)
    assert main(["-m", "executor=dask", f"executor.scheduler={address}", "seed=0,1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"executor.scheduler={address}: no scheduler can be reached there: " in line
    assert not list(tmp_path.iterdir())


@pytest.mark.nightly
def test_a_cell_of_the_users_reaches_the_workers_by_name(tmp_path):
    (tmp_path / "my_cells.py").write_text(block("python", '@register_cell("leaky_rnn"'))
    short = ["task=easy", "steps=20", "eval_every=20", "eval_batches=2", "plot=false"]
    made = {}
    for executor in ("local", "dask"):
        words = ["--import=my_cells", "-m", "model=leaky_rnn", "seed=0,1", *short]
        words += [f"executor={executor}", f"hydra.sweep.dir={executor}"]
        with running(tmp_path, "-m", "hw2exp.train", *words) as process:
            _, lines = ended(process)
        assert lines == []
        results = [read_result(tmp_path / executor / job) for job in "01"]
        made[executor] = [(r.parameters_sha256, r.metrics_sha256) for r in results]
    assert made["local"] == made["dask"]
    for more, told in (([], 2), (["--import", "my_cells"], 0)):
        with running(tmp_path, "-m", "hw2exp.compare", "dask/0", "dask/1", *more) as process:
            _, lines = ended(process)
        assert len([line for line in lines if "no code of model=leaky_rnn" in line]) == told
