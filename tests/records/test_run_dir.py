import json
import platform
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest

from hw2exp import disk
from hw2exp.records.run_dir import (
    RunResult,
    read_result,
    versions,
    write_json,
)

RESULT = RunResult(
    status="diverged",
    step=120,
    diverged_at=120,
    solved_at=None,
    initial={"loss": 1.386, "accuracy": 0.25},
    final={"train_loss": float("inf"), "test_loss": float("-inf"), "test_accuracy": None},
    spikes=[{"step": 100, "loss": 7.5, "above_initial": True}],
    parameters_sha256="a" * 64,
    metrics_sha256="b" * 64,
    seconds=1.25,
    versions={"numpy": "2"},
)


def refuse(name):
    raise AssertionError(f"{name} is not JSON")


def test_what_is_written_is_read_back(tmp_path):
    RESULT.write(tmp_path)
    assert read_result(tmp_path) == RESULT
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_the_file_is_strict_json(tmp_path):
    final = {"train_loss": np.float64("nan"), "test_loss": np.inf, "test_accuracy": None}
    replace(RESULT, final=final).write(tmp_path)
    text = (tmp_path / "result.json").read_text()
    content = json.loads(text, parse_constant=refuse)
    assert content["final"] == {"train_loss": "nan", "test_loss": "inf", "test_accuracy": None}
    assert content["spikes"] == [{"step": 100, "loss": 7.5, "above_initial": True}]
    assert np.isnan(read_result(tmp_path).final["train_loss"])


def test_a_missing_or_damaged_result_says_so(tmp_path):
    with pytest.raises(OSError, match=r"result\.json"):
        read_result(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(ValueError, match="Expecting"):
        read_result(tmp_path)
    (tmp_path / "result.json").write_text('{"status": "finished"}')
    with pytest.raises(ValueError, match=r"result\.json.*step"):
        read_result(tmp_path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"x": 1})
    with pytest.raises(TypeError):
        write_json(path, {"x": object()})
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
        "import sys; from hw2exp.records import curve, metrics, parameters, run_dir, tensorboard;"
        "run_dir.versions();"
        "print(sorted({'torch', 'tensorboard', 'matplotlib', 'polars'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
