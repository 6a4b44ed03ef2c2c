"""Zooms: the same sweep on a smaller window of a map."""

import json
import os
import shlex
import shutil
import sys

import numpy as np
import pytest

from hw2exp import zoom
from hw2exp.config.command_line import read
from hw2exp.records.packed import PackedSweep
from hw2exp.train import main as train

WORDS = (
    "experiment=map_sgd", "model=rnn", "model.hidden_size=4", "batch_size=4", "steps=2",
    "eval_batches=1", "clip=none,norm", "seed=3", "records=packed",
)  # fmt: skip
AXES = "init.scale=logspace(0.1,10,9)", "optimizer.lr=linspace(1,9,8)"


def begin(folder, *words):
    """Return the folder of a sweep that has just begun."""
    grid = read(["-m", *WORDS, *words]).grid
    PackedSweep(folder, grid.axes, [job.config for job in grid.templates]).begin()
    return folder


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return begin(tmp_path_factory.mktemp("zoom") / "sweep", *AXES)


def printed(capsys, *words):
    assert zoom.main([*map(str, words), "--dry-run"]) == 0
    return shlex.split(capsys.readouterr().out)


def test_a_window_is_a_factor_smaller_and_all_else_is_kept(swept, capsys):
    words = printed(capsys, swept, "--around", 3, 1, "--factor", 4)
    assert words[:4] == ["python", "-m", "hw2exp.train", "-m"]
    kept = [*WORDS[:-1], "init.scale=logspace(0.562341325,1.77827941,9)"]
    assert sorted(words[4:]) == sorted([*kept, "optimizer.lr=linspace(2,4,8)", "records=packed"])


def test_a_zoom_keeps_parameters_if_the_map_does(tmp_path, capsys):
    whole = begin(tmp_path / "s", *AXES, "packed_parameters=true", "workers=1")
    words = printed(capsys, whole, "--around", 3, 1)
    assert "packed_parameters=True" in words
    assert "workers=1" not in words


def test_a_window_ends_at_the_edge_of_the_map(swept, capsys):
    words = printed(capsys, swept, "--around", 1.1, 10, "--factor", 4, "--side", 16)
    assert {"optimizer.lr=linspace(1,3,16)", "init.scale=logspace(3.16227766,10,16)"} <= {*words}


def test_the_printed_command_is_what_runs(swept, tmp_path, capsys, monkeypatch):
    run = []
    monkeypatch.setattr(os, "execv", lambda path, words: run.append((path, words)))
    out = tmp_path / "it's a zoom"
    assert zoom.main([str(swept), "--around", "5", "1", "--out", str(out), "--import", "json"]) == 0
    ((path, words),) = run
    assert path == words[0] == sys.executable
    assert shlex.split(capsys.readouterr().out) == ["python", *words[1:]]
    assert words[1:3] == ["-m", "hw2exp.train"]
    assert train(words[3:]) == 0
    first, second = PackedSweep.read(swept), PackedSweep.read(out)
    assert len(first.axes) == len(second.axes) == len(second.runs())
    lr, scale = (
        np.array(next(axis.values for axis in second.axes.axes if axis.key == key))
        for key in ("optimizer.lr", "init.scale")
    )
    assert lr[[0, -1]] == pytest.approx([4.6, 5.4])
    assert scale[[0, -1]] == pytest.approx([10**-0.1, 10**0.1])
    without = {"optimizer": {"lr"}, "init": {"scale"}}
    assert second.config(1).model_dump(exclude=without) == first.config(1).model_dump(
        exclude=without
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--around", "0.5", "1"], "--around: optimizer.lr=0.5: must be 1 to 9"),
        (["--around", "nan", "11"], "init.scale=11: must be 0.1 to 10"),
        (["--around", "2", "1", "--factor", "1"], "--factor=1: must be above 1"),
        (["--around", "2", "1", "--factor", "nan"], "--factor=nan: must be above 1"),
        (["--around", "2", "1", "--factor", "1e8"], "equal in single precision"),
        (["--around", "2", "1", "--side", "7"], "--side=7: must be 8 or more"),
        (["--around", "2"], "expected 2 arguments"),
    ],
)
def test_windows_that_are_none(swept, tmp_path, capsys, words, said):
    out = tmp_path / "out"
    assert zoom.main([str(swept), *words, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["init.scale=1,2,3", AXES[1]], "makes no map"),
        (["init.scale=1,2,3,4,50,51,52,53", AXES[1]], "init.scale: is unevenly spaced"),
        (
            ["task.symbols=range(20,30)", "task=torder", AXES[1]],
            "task.symbols: holds whole numbers",
        ),
    ],
)
def test_sweeps_without_a_window(tmp_path, capsys, words, said):
    folder = begin(tmp_path / "sweep", *words)
    assert zoom.main([str(folder), "--around", "2", "1"]) == 2
    assert said in capsys.readouterr().err


def test_words_of_the_file_that_could_run_something_are_left_out(swept, tmp_path, capsys):
    """The records of a sweep are untrusted."""
    folder = shutil.copytree(swept, tmp_path / "sweep")
    path = folder / "packed/sweep.json"
    sweep = json.loads(path.read_text())
    more = ["executor=slurm", "executor.directives=[x]", "resume=/elsewhere", "logger=mlflow",
            "hydra.sweep.dir=/elsewhere", "hydra/launcher=joblib"]  # fmt: skip
    sweep["axes"] += [{"key": w.partition("=")[0], "lines": [w], "values": None} for w in more]
    path.write_text(json.dumps(sweep))
    words = printed(capsys, folder, "--around", 3, 1)
    assert "clip=none,norm" in words
    assert not [word for word in words for other in more if word.startswith(other[:6])]


def test_folders_without_packed_records(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "none"):
        assert zoom.main([str(folder), "--around", "1", "1"]) == 2
    told = capsys.readouterr().err
    assert "holds no packed/sweep.json; must be of a sweep with records=packed" in told
    assert "no such folder" in told
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "sweep.json").write_text("{")
    assert zoom.main([str(tmp_path), "--around", "1", "1"]) == 2
    assert "sweep.json" in capsys.readouterr().err
