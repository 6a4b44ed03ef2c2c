"""A disk that is full, or read-only: one line, exit 1, what was saved is whole."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hw2exp
from tests.tiers import first_slow

ROOT = Path(hw2exp.__file__).parent.parent
UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]

SMALL = [
    "task=easy", "steps=400", "eval_every=50", "eval_batches=2", "log_every=1", "plot=false",
    "checkpoint_every=50", "batch_size=8", "model=rnn",
]  # fmt: skip

STORY = """
import io, json, shutil, subprocess, sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from hw2exp.train import main

disk, kept, size, words = Path("disk"), Path("kept"), sys.argv[1], sys.argv[2:]
disk.mkdir()
def mount(*options):
    subprocess.run(["mount", *options, "-t", "tmpfs", "tmpfs", str(disk.resolve())], check=True)
def train(*more):
    with chdir(disk), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as said:
        return main([*words, *more]), said.getvalue()
mount("-o", f"size={size}")
here = "hydra.sweep.dir=run" if "-m" in words else "hydra.run.dir=run"
first = train(here)
left = sorted(str(path.relative_to(disk)) for path in disk.rglob("manifest.json"))
mount("-o", "remount,ro")
frozen = train("resume=run") if (disk / "run").exists() else train(here)
mount("-o", "remount,rw,size=100m")
last = train("resume=run") if (disk / "run").exists() else train(here)
shutil.copytree(disk / "run", kept)
print(json.dumps({"first": first, "left": left, "frozen": frozen, "last": last}))
"""


def can_mount():
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


pytestmark = [
    pytest.mark.skipif(not can_mount(), reason="a small disk can't be mounted here"),
]


def story(folder, size, *words):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-c", STORY, size, *words],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def one_line(answer, why):
    code, error = answer
    assert code == 1, error
    assert error.startswith("hw2exp: ")
    assert error.count("\n") == 1
    assert why in error


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    told = story(folder, "100m", *SMALL)
    assert told["first"] == [0, ""]
    assert told["last"] == [0, ""]
    return folder / "kept"


@pytest.mark.parametrize("size", first_slow("24k", "140k", "4k", "100k", "160k"))
def test_a_disk_that_fills_up(tmp_path, whole, same, size):
    told = story(tmp_path, size, *SMALL)
    one_line(told["first"], "No space left on device")
    one_line(told["frozen"], "Read-only file system")
    assert told["last"] == [0, ""]
    same(whole, [tmp_path / "kept"])
    assert bool(told["left"]) == (size not in ("4k", "24k"))


@pytest.mark.nightly
def test_a_sweep_whose_disk_fills_up(tmp_path, whole, same):
    told = story(tmp_path, "400k", "-m", *SMALL, "seed=0,1,2", "workers=1")
    one_line(told["first"], "No space left on device")
    assert "3 jobs (0, 1, 2): " in told["first"][1]
    assert told["last"] == [0, ""]
    same(whole, [tmp_path / "kept/0"])


@pytest.mark.parametrize(
    "words", first_slow(["hw2exp.report", "RUN", "--out"], ["hw2exp.theory", "1.2.1a", "--figures"])
)
@pytest.mark.parametrize(
    ("options", "why"),
    [("size=4k", "No space left on device"), ("ro", "Read-only file system")],
)
def test_what_is_written_about_runs(tmp_path, whole, words, options, why):
    (tmp_path / "disk").mkdir()
    command = [sys.executable, "-m", *(str(whole) if w == "RUN" else w for w in words), "disk/new"]
    mounted = f'mount -o {options} -t tmpfs tmpfs disk && "$@"; code=$?; ls disk; exit $code'
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", mounted, "sh", *command],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    one_line((done.returncode, done.stderr), why)
    assert done.stderr.startswith("hw2exp: disk/new")
    assert done.stdout.splitlines()[-1:] != ["new"]
