"""Two at once: one works, the others say who holds the folder."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hw2exp.records.run_dir import read_result
from hw2exp.runs.checkpointing import Checkpointer
from hw2exp.runs.fleet_run import run_fleet
from hw2exp.runs.recording import Recording
from hw2exp.sweeps import launcher
from hw2exp.system import lock
from hw2exp.system.lock import LOCK, TO_SIGN, FolderHeldError, hold
from hw2exp.train import main
from tests.tiers import first_slow

HOLD = """
import sys, time
from pathlib import Path
from hw2exp.system.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""
STARTED = []
RUN = ["task=easy", "steps=2000000", "plot=false", "eval_every=1000000"]


@pytest.fixture(autouse=True)
def nobody_stays():
    """End what a test has started, also where it fails: some would go on for hours."""
    yield
    while STARTED:
        with STARTED.pop() as process:
            process.kill()


def started(words, **options):
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, **options)
    STARTED.append(process)
    return process


def holder(folder, seconds=60):
    process = started([sys.executable, "-c", HOLD, folder, str(seconds)])
    assert process.stdout.readline() == "held\n"
    return process


def command(folder, *words):
    words = [sys.executable, "-um", "hw2exp.train", *words]
    return started(words, cwd=folder, stderr=subprocess.PIPE)


def test_a_folder_is_held_by_one(tmp_path):
    process = holder(tmp_path)
    with pytest.raises(FolderHeldError, match=rf"process {process.pid} on .* works there"):
        hold(tmp_path).__enter__()
    process.kill()
    process.communicate()
    assert (tmp_path / LOCK).exists()  # what a kill leaves is no obstacle
    with hold(tmp_path), hold(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_who_is_patient_gets_it(tmp_path):
    process = holder(tmp_path, 0.5)
    with hold(tmp_path, patience=30):
        process.communicate()
        assert process.returncode == 0


def test_a_lock_of_others_is_told_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "TO_SIGN", 0.01)
    process = holder(tmp_path)
    for content in (b"x\ny", b"\x1b[31m", b"\xff" * 300, b"", b"process 1 on \x1b[31m"):
        (tmp_path / LOCK).write_bytes(content)
        with pytest.raises(FolderHeldError) as error:
            hold(tmp_path).__enter__()
        assert str(error.value).isprintable()
    process.kill()
    process.communicate()


def test_a_lock_is_no_way_out(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK).symlink_to(tmp_path / "canary")
    with pytest.raises(OSError, match=LOCK):
        hold(tmp_path / "run").__enter__()
    assert not (tmp_path / "canary").exists()


def test_who_has_not_signed_yet_is_waited_for(tmp_path):
    process = holder(tmp_path)
    (tmp_path / LOCK).write_bytes(b"")
    began = time.monotonic()
    with pytest.raises(FolderHeldError, match="another process works there"):
        hold(tmp_path).__enter__()
    assert time.monotonic() - began > TO_SIGN
    process.kill()
    process.communicate()


def test_what_a_killed_one_left_is_not_who_holds_it(tmp_path):
    """Whoever comes right after a kill has the lock before its name is over the dead one's."""
    killed = holder(tmp_path)
    killed.kill()
    killed.communicate()
    left = (tmp_path / LOCK).read_bytes()
    process = holder(tmp_path)
    signed = (tmp_path / LOCK).read_bytes()
    (tmp_path / LOCK).write_bytes(left)
    signs = threading.Timer(TO_SIGN / 3, (tmp_path / LOCK).write_bytes, [signed])
    signs.start()
    with pytest.raises(FolderHeldError, match=rf"process {process.pid} on .* works there"):
        hold(tmp_path).__enter__()
    signs.join()


def test_a_holder_elsewhere_or_of_others_is_believed(tmp_path):
    holder(tmp_path)
    for content in (f"process 1 on {socket.gethostname()}", "process 4194305 on another.host"):
        (tmp_path / LOCK).write_text(content)
        with pytest.raises(FolderHeldError, match=f": {content} works there"):
            hold(tmp_path).__enter__()


def test_a_command_in_a_folder_that_is_held_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    process = holder(tmp_path / "here")
    for words in (["hydra.run.dir=here"], ["-m", "hydra.sweep.dir=here"], ["resume=here"]):
        assert main([*RUN, *words]) == 2
        assert f"process {process.pid} on " in capsys.readouterr().err
        assert [path.name for path in (tmp_path / "here").iterdir()] == [LOCK]
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_a_job_that_is_held_is_left_as_it_is(tmp_path, monkeypatch, capsys):
    """A sweep that goes on while somebody works on one of its jobs: that one fails, alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launcher, "PATIENCE", 0.5)
    short = ["task=easy", "steps=4", "eval_every=2", "eval_batches=1", "plot=false", "model=rnn",
             "batch_size=8", "check_initial_loss=off", "seed=0,1"]  # fmt: skip
    assert main(["-m", *short, "hydra.sweep.dir=sweep"]) == 0
    process = holder(tmp_path / "sweep/0")
    before = (tmp_path / "sweep/0/.hydra/config.yaml").read_bytes()
    capsys.readouterr()
    longer = [word.replace("steps=4", "steps=8") for word in short]
    assert main(["-m", *longer, "resume=sweep"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("hw2exp: job 0 (")
    assert f"{tmp_path / 'sweep/0'}: process {process.pid} on " in error
    assert (tmp_path / "sweep/0/.hydra/config.yaml").read_bytes() == before
    assert read_result(tmp_path / "sweep/0").step == 4
    assert read_result(tmp_path / "sweep/1").step == 8
    process.kill()
    process.communicate()
    assert main(["-m", *longer, "resume=sweep"]) == 0
    assert read_result(tmp_path / "sweep/0").step == 8


class Meanwhile:
    """Does something after one step, as somebody else might."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def observe(self, steps, measured, tested):
        if self.step in steps:
            self.action()


def taken_over(folder):
    """Delete a run's folder; another run begins there, holds it, and has come to a result."""
    shutil.rmtree(folder)
    folder.mkdir()
    for name in (LOCK, "result.json"):
        (folder / name).write_text("another's")


def swapped(folder):
    """Let a link lead from a run's checkpoints to somewhere else."""
    os.rename(folder / "checkpoints", folder / "mine")
    (folder / "checkpoints").symlink_to(folder.parent / "elsewhere")


LOST = {
    "deleted": (shutil.rmtree, "was deleted or moved while a run worked there"),
    "moved": (lambda run: os.rename(run, run.parent / "away"), "was deleted or moved"),
    "taken over": (taken_over, "was deleted or moved"),
    "a link": (swapped, "is a link; must be a folder"),
}


@pytest.mark.parametrize("every", [2, 0])
@pytest.mark.parametrize("how", LOST)
def test_a_run_that_has_lost_its_folder_writes_no_more(tmp_path, compose, how, every):
    if how == "a link" and not every:
        return  # no checkpoint, no folder of checkpoints
    action, why = LOST[how]
    words = ["task=easy", "model=rnn", "steps=6", "plot=false", "eval_batches=1", "batch_size=8",
             "check_initial_loss=off", f"checkpoint_every={every}"]  # fmt: skip
    configs = [compose(*words, f"seed={seed}") for seed in (1, 2)]
    folders = [tmp_path / "lost", tmp_path / "kept"]
    (tmp_path / "elsewhere").mkdir()
    (alone,) = run_fleet(configs[1:], [tmp_path / "alone"], show=False)
    left = {}

    def happens():
        action(folders[0])
        left.update({path: path.read_bytes() for path in tmp_path.glob("lost/*") if path.is_file()})

    lost, kept = run_fleet(
        configs, folders, show=False, observe=lambda fleet: Meanwhile(3, happens)
    )
    assert isinstance(lost, OSError)
    assert why in str(lost)
    assert kept.parameters_sha256 == alone.parameters_sha256
    assert read_result(folders[1]) == kept
    if how == "a link":
        assert not list((tmp_path / "elsewhere").iterdir())
        assert not (tmp_path / "lost/result.json").exists()
    else:
        found = {path: path.read_bytes() for path in tmp_path.glob("lost/*")}
        assert found == left
    assert folders[0].exists() == (how in ("taken over", "a link"))


def test_a_run_that_has_lost_its_folder_stops(tmp_path, monkeypatch, capsys):
    """And says so in a line, at the next checkpoint, long before its last step."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "hw2exp.runs.checkpointing.Checkpointer.save",
        lambda self, step, save=Checkpointer.save: (
            shutil.rmtree("run", ignore_errors=True), save(self, step),
        ),
    )  # fmt: skip
    assert main([*RUN, "model=rnn", "checkpoint_every=5", "hydra.run.dir=run"]) == 1
    error = capsys.readouterr().err
    assert error == (
        f"hw2exp: {tmp_path / 'run'}: was deleted or moved while a run worked there; "
        "that run has stopped\n"
    )
    assert not (tmp_path / "run").exists()


def test_a_removed_lock_is_made_again(tmp_path, compose):
    """The folder is the same, and nobody else has taken it."""
    words = ["task=easy", "model=rnn", "steps=6", "plot=false", "eval_batches=1", "batch_size=8",
             "check_initial_loss=off", "checkpoint_every=2"]  # fmt: skip
    config = compose(*words)
    (alone,) = run_fleet([config], [tmp_path / "alone"], show=False)
    run = tmp_path / "run"
    removal = Meanwhile(3, lambda: (run / LOCK).unlink())
    (outcome,) = run_fleet([config], [run], show=False, observe=lambda fleet: removal)
    assert outcome.parameters_sha256 == alone.parameters_sha256
    assert not (run / LOCK).exists()


def test_nobody_works_below_a_folder_that_is_held(tmp_path, monkeypatch, capsys):
    """A sweep's jobs that wait have no lock of their own; the sweep's is theirs."""
    monkeypatch.chdir(tmp_path)
    words = ["task=easy", "model=rnn", "steps=2", "eval_batches=1", "plot=false"]
    (tmp_path / "sweep/a/2").mkdir(parents=True)
    process = holder(tmp_path / "sweep")
    before = sorted(tmp_path.rglob("*"))
    for where in (["hydra.run.dir=sweep/a/2"], ["-m", "seed=0,1", "hydra.sweep.dir=sweep/b"]):
        assert main([*words, *where]) == 2
        assert f"{tmp_path / 'sweep'}: process {process.pid} on " in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
    process.kill()
    process.communicate()
    assert main([*words, "hydra.run.dir=sweep/a/2"]) == 0


@pytest.mark.parametrize("plot", ["true", "false"])
def test_a_folder_that_is_lost_at_the_end_takes_no_other_along(
    tmp_path, compose, monkeypatch, plot
):
    """Deleted and taken over while the files of the fleet are written: the others have results."""
    words = ["task=easy", "model=rnn", "steps=3", "eval_batches=1", "batch_size=8",
             "check_initial_loss=off", f"plot={plot}"]  # fmt: skip
    configs = [compose(*words, f"seed={seed}") for seed in range(3)]
    folders = [tmp_path / str(seed) for seed in range(3)]
    write_files = Recording._write_files

    def written(self, row):
        result = write_files(self, row)
        if row == 1:
            shutil.rmtree(folders[2])
            taken_over(folders[1])
        return result

    monkeypatch.setattr(Recording, "_write_files", written)
    first, *lost = run_fleet(configs, folders, show=False)
    assert read_result(folders[0]) == first
    assert all("was deleted or moved" in str(each) for each in lost)
    assert (folders[1] / "result.json").read_text() == "another's"
    assert not folders[2].exists()


def test_a_file_in_the_place_of_checkpoints_stops_its_run_alone(tmp_path, compose):
    words = ["task=easy", "model=rnn", "steps=4", "plot=false", "eval_batches=1", "batch_size=8",
             "check_initial_loss=off", "checkpoint_every=2"]  # fmt: skip
    configs = [compose(*words, f"seed={seed}") for seed in (1, 2)]
    (tmp_path / "0").mkdir()
    (tmp_path / "0/checkpoints").touch()
    lost, kept = run_fleet(configs, [tmp_path / "0", tmp_path / "1"], show=False)
    assert "is a file; must be a folder" in str(lost)
    assert read_result(tmp_path / "1") == kept


def test_threads_of_a_process_keep_each_other_out(tmp_path):
    with hold(tmp_path), ThreadPoolExecutor(1) as other:
        enter = other.submit(hold(tmp_path).__enter__)
        with pytest.raises(FolderHeldError, match=f"process {os.getpid()} on .* works there"):
            enter.result()
        assert (tmp_path / LOCK).exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_in_a_line(tmp_path, monkeypatch, capsys, number):
    def refused(file, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock.fcntl, "flock", refused)
    monkeypatch.chdir(tmp_path)
    assert main([*RUN, "hydra.run.dir=run"]) == 1
    assert capsys.readouterr().err == f"hw2exp: {tmp_path}/run/.lock: {os.strerror(number)}\n"


def test_a_sweep_records_nothing_where_somebody_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep/0/.hydra").mkdir(parents=True)
    (tmp_path / "sweep/0/.hydra/config.yaml").write_text("another's")
    process = holder(tmp_path / "sweep/0")
    words = ["task=easy", "model=rnn", "steps=2", "eval_batches=1", "plot=false", "seed=0,1"]
    assert main(["-m", *words, "hydra.sweep.dir=sweep"]) == 1
    told = capsys.readouterr()
    assert f"{tmp_path / 'sweep/0'}: process {process.pid} on " in told.err
    assert "have their result" not in told.out
    records = list((tmp_path / "sweep/0/.hydra").iterdir())
    assert [path.read_text() for path in records] == ["another's"]
    assert read_result(tmp_path / "sweep/1").step == 2


STRUGGLE = """
import os, random, sys, time
from pathlib import Path
from hw2exp.system.lock import hold
folder = Path(sys.argv[1])
for _ in range(60):
    with hold(folder, patience=60):
        os.close(os.open(folder / "alone", os.O_CREAT | os.O_EXCL))
        time.sleep(random.random() / 2000)
        os.unlink(folder / "alone")
"""


def test_nobody_is_ever_there_with_another(tmp_path):
    processes = [
        subprocess.Popen([sys.executable, "-c", STRUGGLE, tmp_path], stderr=subprocess.PIPE)
        for _ in range(6)
    ]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 6, errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", first_slow("run", "sweep", "resume"))
def test_of_four_commands_one_works(tmp_path, kind):
    where = {
        "run": ["hydra.run.dir=here"],
        "sweep": ["-m", "seed=0,1", "workers=1", "hydra.sweep.dir=here"],
        "resume": ["resume=here"],
    }[kind]
    if kind == "resume":
        first = command(tmp_path, *RUN, "hydra.run.dir=here")
        while not list(tmp_path.glob("here/events*")):
            time.sleep(0.02)
        first.kill()
        first.communicate()
    processes = [command(tmp_path, *RUN, *where) for _ in range(4)]
    deadline = time.monotonic() + 100
    while sum(process.poll() is None for process in processes) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (worker,) = (process for process in processes if process.poll() is None)
    for process in processes:
        if process is not worker:
            out, error = process.communicate()
            assert (process.returncode, out) == (2, "")
            assert error.startswith(f"hw2exp: {tmp_path / 'here'}: process {worker.pid} on ")
            assert error.count("\n") == 1
    os.kill(worker.pid, signal.SIGKILL)
    worker.communicate()
    heir = command(tmp_path, *RUN, *(["-m", "seed=0,1", "workers=1"] if kind == "sweep" else []),
                   "resume=here")  # fmt: skip
    while not list(tmp_path.rglob("events*")):
        assert heir.poll() is None, heir.communicate()
        time.sleep(0.02)
    time.sleep(1)
    assert heir.poll() is None, heir.communicate()
    heir.send_signal(signal.SIGTERM)
    heir.communicate()
    assert heir.returncode == 143
