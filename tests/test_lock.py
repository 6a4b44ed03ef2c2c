"""Two at once: one works, the others say who holds the folder."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from hw2exp import lock
from hw2exp.lock import LOCK, TO_SIGN, FolderHeldError, hold
from hw2exp.records.run_dir import read_result
from hw2exp.sweeps import launcher
from hw2exp.train import main

HOLD = """
import sys, time
from pathlib import Path
from hw2exp.lock import hold
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


STRUGGLE = """
import os, random, sys, time
from pathlib import Path
from hw2exp.lock import hold
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


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["run", "sweep", "resume"])
def test_of_eight_commands_one_works(tmp_path, kind):
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
    processes = [command(tmp_path, *RUN, *where) for _ in range(8)]
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
