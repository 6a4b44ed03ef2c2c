import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from importlib.metadata import version

import numpy as np
import pytest

from hw2exp.records.run_dir import (
    PARTS,
    RunResult,
    commit,
    read_finished,
    read_result,
    versions,
)
from hw2exp.records.write_order import json_bytes, write_results
from hw2exp.system import disk

RESULT = RunResult(
    status="diverged",
    step=120,
    diverged_at=120,
    solved_at=None,
    initial={"loss": 1.386, "accuracy": 0.25},
    final={"train_loss": float("inf"), "test_loss": float("-inf"), "test_accuracy": None},
    spikes=[
        {"step": 100, "start": 98, "end": 101, "loss": 7.5, "median": 1.5, "above_initial": True}
    ],
    parameters_sha256="a" * 64,
    metrics_sha256="b" * 64,
    seconds=1.25,
    versions={"numpy": "2"},
)


def refuse(name):
    raise AssertionError(f"{name} is not JSON")


def test_what_is_written_is_read_back(tmp_path):
    write_results({tmp_path: RESULT})
    assert read_result(tmp_path) == RESULT
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_the_file_is_strict_json(tmp_path):
    final = {"train_loss": np.float64("nan"), "test_loss": np.inf, "test_accuracy": None}
    write_results({tmp_path: replace(RESULT, final=final)})
    text = (tmp_path / "result.json").read_text()
    content = json.loads(text, parse_constant=refuse)
    assert content["final"] == {"train_loss": "nan", "test_loss": "inf", "test_accuracy": None}
    assert content["spikes"] == RESULT.spikes
    assert np.isnan(read_result(tmp_path).final["train_loss"])


def test_a_missing_or_damaged_result_says_so(tmp_path):
    with pytest.raises(OSError, match=r"result\.json"):
        read_result(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(ValueError, match=r"result\.json: the file: Invalid JSON"):
        read_result(tmp_path)
    (tmp_path / "result.json").write_text('{"status": "finished"}')
    with pytest.raises(ValueError, match=r"result\.json.*step"):
        read_result(tmp_path)


SPIKE = RESULT.spikes[0]
COUNTS = dict.fromkeys(PARTS["explosions"], 3)


def test_a_result_of_before_explosions_were_counted_is_read(tmp_path):
    old = {name: value for name, value in asdict(RESULT).items() if name != "explosions"}
    (tmp_path / "result.json").write_bytes(json_bytes(old))
    assert read_result(tmp_path) == RESULT
    now = replace(RESULT, spikes=[{**SPIKE, "after_explosion": False}], explosions=COUNTS)
    write_results({tmp_path: now})
    assert read_result(tmp_path) == now


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"step": "x"}, "step"),
        ({"step": 0}, "step"),
        ({"step": True}, "step"),
        ({"step": 10**30}, "step"),
        ({"solved_at": 1.5}, "solved_at"),
        ({"status": "lost"}, "status"),
        ({"status": ["finished"]}, "status"),
        ({"spikes": 5}, "spikes"),
        ({"spikes": [5]}, "spikes.0"),
        ({"spikes": [{**SPIKE, "loss": "high"}]}, "0.loss"),
        ({"spikes": [{**SPIKE, "loss": "nan"}]}, "0.loss"),
        ({"spikes": [{**SPIKE, "start": 10**400}]}, "0.start"),
        ({"spikes": [{"step": 3}]}, "0.start: Field required"),
        ({"spikes": [SPIKE], "explosions": COUNTS}, "spikes: must have after_explosion"),
        ({"explosions": {"steps": 1}}, "explosions: must have followed"),
        ({"initial": {"loss": 1.0}}, "initial: must have accuracy, loss"),
        ({"initial": {"loss": None, "accuracy": 1.0}}, "initial.loss"),
        ({"final": []}, "final"),
        ({"seconds": 10**400}, "seconds"),
        ({"versions": {"hw2exp": 1}}, "versions.hw2exp"),
        ({"more": 1}, "more"),
    ],
)
def test_a_result_of_other_types_is_refused(tmp_path, changed, where):
    (tmp_path / "result.json").write_bytes(json_bytes(asdict(RESULT) | changed))
    with pytest.raises(ValueError, match=re.escape(f"result.json: {where}")):
        read_result(tmp_path)
    (tmp_path / "metrics.parquet").touch()
    assert read_finished(tmp_path, 1, 1) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"null", b"[" * 10**6, b'{"a":' * 10**6, b'{"step": ' + b"9" * 10**5 + b"}"],
)
def test_a_result_that_is_no_json_of_ours_is_refused(tmp_path, content):
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"result\.json: the file: "):
        read_result(tmp_path)


def test_a_result_that_never_ends_is_refused(tmp_path):
    path = tmp_path / "result.json"
    os.mkfifo(path)
    with pytest.raises(ValueError, match=r"result\.json is no file"):
        read_result(tmp_path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"result\.json is no file"):
        read_result(tmp_path)
    path.unlink()
    with path.open("w") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match=r"result\.json is too large"):
        read_result(tmp_path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "value.json"
    disk.write(path, json_bytes({"x": 1}))
    with pytest.raises(TypeError):
        disk.write(path, "no bytes")
    assert json.loads(path.read_text()) == {"x": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_versions():
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["torch"] == version("torch")
    assert found["numpy"] == np.__version__
    assert {"hw2exp", "tensorboard", "platform"} <= found.keys()


def test_the_records_import_nothing_heavy():
    program = (
        "import sys; from hw2exp.records import curve_figure, metrics, parameters, run_dir;"
        "from hw2exp.records import tensorboard;"
        "run_dir.versions();"
        "print(sorted({'torch', 'tensorboard', 'matplotlib', 'polars'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def git(folder, *words):
    names = {
        f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    subprocess.run(
        ["git", "-C", folder, *words], check=True, capture_output=True, env=os.environ | names
    )


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_of_a_checkout(tmp_path, monkeypatch):
    assert commit(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert commit(tmp_path) is None  # no commit yet
    (tmp_path / "code.py").write_text("x = 1")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-qm", "one")
    git(tmp_path, "tag", "-am", "a name", "v1")
    clean = commit(tmp_path)
    assert re.fullmatch("[0-9a-f]{40}", clean)
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as in a hook of git's
    assert commit(tmp_path) == clean
    (tmp_path / "new.py").write_text("no part of it")
    assert commit(tmp_path) == clean
    (tmp_path / "code.py").write_text("x = 2")
    assert commit(tmp_path) == f"{clean}-dirty"
    monkeypatch.setenv("PATH", "")
    assert commit(tmp_path) is None
