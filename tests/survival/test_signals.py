"""Signals: the step is finished and everything saved, soon; with nothing to save, at once."""

import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

import hw2exp
from hw2exp.sweeps.executor import available_cores
from hw2exp.system.interrupt import HANGUP, SAVE
from tests.survival.progress import steps_saved, wait_for_steps, wait_until
from tests.tiers import first_slow

ROOT = Path(hw2exp.__file__).parent.parent
SECONDS = 2.0
"""How long ending may take, on a machine with a core for each process that wants one."""

STEPS = 40_000  # some seconds
SHORT = ["task=easy", "steps=10000", "eval_every=500", "eval_batches=2", "plot=false",
         "log_every=7", "checkpoint_every=100000"]  # fmt: skip
SMALL = [*SHORT, f"steps={STEPS}"]
JOBS = ["-m", *SHORT, "model=gated_rnn", "seed=range(0,8)", "workers=2"]


def start(folder, *words, path=ROOT):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(path)}
    return subprocess.Popen(
        [sys.executable, "-um", "hw2exp.train", *words],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def wait_for(process, text):
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(process.stderr.read())


def end(process, *numbers, group=False):
    """Send signals; return the exit status, the seconds since the first, and the errors.

    Where more processes want a core than there are cores, the seconds are divided accordingly.
    """
    crowd = max(1, os.getloadavg()[0] / available_cores())
    began = time.monotonic()
    for number in numbers:
        (os.killpg if group else os.kill)(process.pid, number)
        time.sleep(0.2 * (len(numbers) > 1))
    _, error = process.communicate(timeout=60)
    return process.returncode, (time.monotonic() - began) / crowd, error


def uninterrupted(folder, *words):
    process = start(folder, *words)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody interrupts."""
    return uninterrupted(tmp_path_factory.mktemp("whole"), *SMALL, "hydra.run.dir=run")


@pytest.fixture(scope="module")
def whole_sweep(tmp_path_factory):
    """A sweep that nobody interrupts."""
    return uninterrupted(tmp_path_factory.mktemp("whole"), *JOBS, "hydra.sweep.dir=sweep")


@pytest.mark.parametrize(  # in the quick suite: test_train.py, without the digests
    ("number", "status"), first_slow((signal.SIGTERM, 143), (signal.SIGINT, 130))
)
def test_an_ended_run_saves_and_resumes(tmp_path, whole, same, number, status):
    process = start(tmp_path, *SMALL, "hydra.run.dir=run")
    wait_for_steps(process, tmp_path)
    code, seconds, error = end(process, number)
    assert (code, error) == (status, "")
    assert seconds < SECONDS
    (saved,) = (tmp_path / "run/checkpoints").glob("step_*")
    assert 0 < int(saved.name[5:]) < STEPS - 1
    process = start(tmp_path, *SMALL, "resume=run")
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert f"resumes after step {int(saved.name[5:])}" in out
    same(whole / "run", [tmp_path / "run"])


@pytest.mark.skipif(HANGUP is None, reason="there is no such signal")
@pytest.mark.parametrize("sweep", first_slow(False, True))
def test_a_terminal_that_closes_ends_it_in_order(tmp_path, sweep):
    """Its shell hangs up too; whoever was started with nohup goes on."""
    where = [*JOBS, "hydra.sweep.dir=run"] if sweep else [*SMALL, "hydra.run.dir=run"]
    process = start(tmp_path, *where)
    wait_for_steps(process, tmp_path, 8 if sweep else 1)
    code, _, error = end(process, HANGUP, HANGUP, group=True)
    assert (code, error) == (129, "")
    saved = len(list(tmp_path.glob("run/**/checkpoints/step_*")))
    assert saved == 8 if sweep else saved == 1
    ignoring = subprocess.Popen(
        ["nohup", sys.executable, "-um", "hw2exp.train", *SMALL, "hydra.run.dir=other"],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    wait_for(ignoring, "starts at loss")
    ignoring.send_signal(HANGUP)
    ignoring.communicate(timeout=120)
    assert ignoring.returncode == 0


@pytest.mark.nightly
@pytest.mark.parametrize("sweep", [False, True])
def test_a_terminal_that_is_gone_keeps_no_file_back(tmp_path, sweep):
    """On a terminal a line is renewed in place; where that fails the run is recorded still."""
    pty = pytest.importorskip("pty")
    where = [*JOBS, "hydra.sweep.dir=run"] if sweep else [*SMALL, "hydra.run.dir=run"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-um", "hw2exp.train", *where],
        cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    reader = threading.Thread(target=drain, args=(ours,))
    reader.start()
    wait_for_steps(process, tmp_path, 8 if sweep else 1)
    os.close(ours)
    process.send_signal(HANGUP)
    assert process.wait(timeout=60) == 129
    reader.join()
    assert len(list(tmp_path.glob("run/**/result.json"))) == (8 if sweep else 1)


def drain(terminal):
    """Read what is shown, as a terminal does."""
    with suppress(OSError):
        while os.read(terminal, 1 << 12):
            pass


@pytest.mark.nightly
@pytest.mark.skipif(SAVE is None, reason="there is no such signal")
def test_a_clusters_warning_harms_nobody_who_has_nothing_to_save(tmp_path):
    """Before there is a step, and while the process ends."""
    process = start(tmp_path, *SMALL, "hydra.run.dir=run", "steps=20", "eval_every=20")
    while not (tmp_path / "run").exists():
        assert process.poll() is None
    while process.poll() is None:
        with suppress(ProcessLookupError):
            process.send_signal(SAVE)
        time.sleep(0.005)
    assert process.communicate()[1] == ""
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(SAVE is None, reason="there is no such signal")
def test_a_clusters_warning_saves_and_the_run_continues(tmp_path, whole, same):
    process = start(tmp_path, *SMALL, "hydra.run.dir=run")
    wait_for_steps(process, tmp_path)
    os.kill(process.pid, SAVE)
    assert wait_until(process, lambda: steps_saved(tmp_path))
    assert steps_saved(tmp_path) < STEPS - 1
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    same(whole / "run", [tmp_path / "run"])


SLOW_STEPS = """
import sys, time
from hw2exp.fleet import loop as training
from hw2exp.train import main
advance = training.advance
def slow(fleet, first, last, inspector):
    if first > 1:  # the second block: from the first one on, there is something to save
        print("slow", flush=True)
        time.sleep(60)
    return advance(fleet, first, last, inspector)
training.advance = slow
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(  # in the quick suite: on a terminal, below
    "number", first_slow(signal.SIGINT, signal.SIGTERM)
)
def test_a_second_signal_ends_at_once(tmp_path, number):
    process = subprocess.Popen(
        [sys.executable, "-uc", SLOW_STEPS, *SMALL, "hydra.run.dir=run"],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_for(process, "slow")
    os.kill(process.pid, number)
    time.sleep(0.5)
    assert process.poll() is None  # it waits for its step
    code, seconds, _ = end(process, number)
    assert code == -number
    assert seconds < 0.5


@pytest.mark.parametrize(
    ("number", "sweep"),
    first_slow(
        (signal.SIGINT, True),
        (signal.SIGINT, False),
        (signal.SIGTERM, True),
        (signal.SIGTERM, False),
    ),
)
def test_who_leaves_while_it_compiles_does_not_wait(tmp_path, number, sweep):
    for name in ("hw2exp", "hydra_plugins"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    words = ["-m", "seed=0,1", "workers=2", "hydra.sweep.dir=run"] if sweep else []
    process = start(tmp_path, *SMALL, *words or ["hydra.run.dir=run"], path=tmp_path)
    wait_for(process, "compiling")
    time.sleep(3)
    code, seconds, error = end(process, number, group=sweep)
    assert (code, error) == (128 + number, "")
    assert seconds < SECONDS
    assert not list((tmp_path / "run").rglob("result.json"))


@pytest.mark.nightly
@pytest.mark.parametrize(  # without digests: SIGINT, test_train.py
    ("number", "group"),
    [(signal.SIGTERM, True), (signal.SIGINT, True), (signal.SIGTERM, False)],
)
def test_an_ended_sweep_saves_and_resumes(tmp_path, whole_sweep, same, number, group):
    """Also where a terminal or a cluster sends the signal to all of its processes."""
    process = start(tmp_path, *JOBS, "hydra.sweep.dir=sweep")
    wait_for_steps(process, tmp_path, 8)
    code, seconds, error = end(process, number, group=group)
    assert (code, error) == (128 + number, "")
    assert seconds < SECONDS
    assert len(list(tmp_path.glob("sweep/*/checkpoints/step_*"))) == 8
    process = start(tmp_path, *JOBS, "resume=sweep")
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    assert "8 jobs of 8 resume from a checkpoint" in out
    same(whole_sweep / "sweep/3", [tmp_path / "sweep/3"])
    for job in range(8):
        mine, theirs = (
            (folder / f"sweep/{job}/parameters.safetensors").read_bytes()
            for folder in (whole_sweep, tmp_path)
        )
        assert mine == theirs


@pytest.mark.nightly
@pytest.mark.skipif(SAVE is None, reason="there is no such signal")
@pytest.mark.parametrize("group", [False, True], ids=["one", "all"])
def test_a_warning_to_a_sweep_saves_all_jobs(tmp_path, whole_sweep, same, group):
    process = start(tmp_path, *JOBS, "hydra.sweep.dir=sweep")
    wait_for_steps(process, tmp_path, 8)
    (os.killpg if group else os.kill)(process.pid, SAVE)
    saved = tmp_path.glob
    assert wait_until(process, lambda: len(list(saved("sweep/*/checkpoints/step_*"))) == 8)
    assert all(int(path.name[5:]) < 9999 for path in saved("sweep/*/checkpoints/step_*"))
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    for job in range(8):
        same(whole_sweep / f"sweep/{job}", [tmp_path / f"sweep/{job}"])


@pytest.mark.nightly
def test_a_terminal_has_its_cursor_back_whoever_insists(tmp_path):
    """A live display hides it; a process that is ended at once can't show it again."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-uc", SLOW_STEPS, *SMALL, "hydra.run.dir=run"],
        cwd=tmp_path, stdout=theirs, stderr=theirs, env=os.environ | {"TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    said = b""
    try:
        while b"slow" not in said:
            said += os.read(ours, 1000)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None  # it waits for its step
        for _ in range(10):  # those that come before the first is seen are one with it
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
                break
        assert process.wait(5) == -signal.SIGINT
        with suppress(OSError):  # the end of a terminal
            while more := os.read(ours, 1000):
                said += more
    finally:
        process.kill()
        os.close(ours)
    assert said.rindex(b"\x1b[?25h") > said.rfind(b"\x1b[?25l")
