import json
import os
import shutil

import pytest

from hw2exp.config.command_line import read
from hw2exp.records.arm_names import names
from hw2exp.records.arm_pairs import references
from hw2exp.records.arms import Run, gather
from hw2exp.records.runs import _named, read_runs
from hw2exp.system.problems import ConfigError
from hw2exp.train import main


def configs(*words):
    return [job.config for job in read(["-m", *words]).jobs]


def arms_of(folder, *words):
    return gather(Run(folder / str(k), config, None) for k, config in enumerate(configs(*words)))


def test_arms_are_runs_that_differ_in_the_seed_alone(tmp_path):
    arms, repeated = arms_of(tmp_path, "clip=none,norm", "optimizer.lr=1e-3,3e-3", "seed=3,1,2")
    assert repeated == 0
    assert [arm.name for arm in arms] == [
        "clip=none optimizer.lr=0.001",
        "clip=none optimizer.lr=0.003",
        "clip=norm optimizer.lr=0.001",
        "clip=norm optimizer.lr=0.003",
    ]
    assert all(list(arm.runs) == [1, 2, 3] for arm in arms)


def test_what_only_shows_makes_no_arm(tmp_path):
    arms, repeated = arms_of(tmp_path, "log_every=5,10", "seed=1,2")
    assert ([arm.name for arm in arms], repeated) == (["all runs"], 2)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([{"clip": "none"}, {"clip": "norm", "clip.max_norm": 1.0}], ["clip=none", "clip=norm"]),
        (
            [
                {"clip": "none"},
                {"clip": "norm", "clip.max_norm": 1.0},
                {"clip": "norm", "clip.max_norm": 2.0},
            ],
            ["clip=none", "clip=norm clip.max_norm=1.0", "clip=norm clip.max_norm=2.0"],
        ),
        ([{"task": "easy", "task.length": (7, 9)}] * 1, ["all runs"]),
    ],
)
def test_a_name_says_what_tells_an_arm_from_others(settings, expected):
    assert names(settings) == expected


def test_an_arm_is_compared_with_the_one_that_only_lacks_its_cures(tmp_path):
    words = ["model=rnn,lstm", "clip=none,norm", "schedule=constant,cosine"]
    arms, _ = arms_of(tmp_path, *words)
    pairs = {(cured.name, plain.name) for cured, plain in references(arms)}
    assert pairs == {
        (f"model={model} clip={clip} schedule={schedule}",
         f"model={model} clip=none schedule=constant")
        for model in ("rnn", "lstm")
        for clip, schedule in (("norm", "constant"), ("none", "cosine"), ("norm", "cosine"))
    }  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    words = ["model=rnn", "task=easy", "steps=3", "eval_batches=1", "plot=false"]
    for seed in range(3):
        assert main([*words, f"seed={seed}", f"hydra.run.dir={folder}/deep/{seed}"]) == 0
    return folder


def test_runs_are_found_at_any_depth(runs):
    found = read_runs(runs)
    (arm,) = found.arms
    assert (arm.name, list(arm.runs), found.left_out) == ("all runs", [0, 1, 2], ())
    assert arm.runs[1].metrics().height == arm.runs[1].result.step / 3
    assert read_runs(runs / "deep" / "2").arms[0].runs.keys() == {2}


def test_a_run_of_before_a_group_or_key_came_is_read(runs, tmp_path, forget_config):
    shutil.copytree(runs / "deep" / "0", tmp_path / "old")
    forget_config(tmp_path / "old")
    path = tmp_path / "old" / ".hydra" / "config.yaml"
    text = path.read_text()
    old = text.replace("regularizer:\n  name: none\n", "").replace("  bias: torch\n", "")
    old = old.replace("  forget_bias: 0.0\n", "")
    assert len(old) == len(text) - 40 - 19
    path.write_text(old)
    (arm,) = read_runs(tmp_path).arms
    (now,) = read_runs(runs / "deep" / "0").arms
    assert arm.settings == now.settings


def test_what_cannot_be_used_is_counted(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "runs")
    shutil.copytree(runs / "deep" / "0", tmp_path / "runs" / "again")
    (tmp_path / "runs" / "deep" / "1" / "metrics.parquet").unlink()
    path = tmp_path / "runs" / "deep" / "2" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "interrupted"}))
    found = read_runs(tmp_path / "runs")
    assert list(found.arms[0].runs) == [0]
    assert sorted(found.left_out) == [
        "1 run left out: another run has its settings and seed",
        "1 run left out: interrupted (deep/2)",
        "1 run left out: metrics are missing (deep/1)",
    ]
    assert len(found.lost) == 2  # the repeated run is there under another name


def damaged(path, change):
    """A file that is no file any more, or another's."""
    if change in ("fifo", "device", "missing"):
        path.unlink()
    match change:
        case "fifo":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case bytes():
            path.write_bytes(change)


@pytest.mark.parametrize("change", ["missing", b"", b"\0" * 900])
def test_a_result_that_has_the_config_needs_no_other_record(runs, tmp_path, change):
    before = read_runs(runs)
    shutil.copytree(runs, tmp_path / "runs")
    damaged(tmp_path / "runs/deep/1/.hydra/config.yaml", change)
    found = read_runs(tmp_path / "runs")
    assert not found.left_out
    assert [list(arm.runs) for arm in found.arms] == [list(arm.runs) for arm in before.arms]
    assert [arm.settings for arm in found.arms] == [arm.settings for arm in before.arms]


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        *(
            ("result.json", change, "config or result can't be read")
            for change in ("fifo", "device", b"[" * 10**6, b'{"step": "x"}')
        ),
        *(
            (".hydra/config.yaml", change, "config or result can't be read")
            for change in ("fifo", "missing", b"[" * 10**5, b"seed: ${oc.env:HOME}")
        ),
        (".hydra/config.yaml", b"model: {name: leaky_rnn}", "model=leaky_rnn: no such choice"),
        ("result.json", "missing", "no result: interrupted, failed, or still running"),
        *(
            ("metrics.parquet", change, "metrics can't be read")
            for change in ("fifo", "device", b"", b"PAR1 garbage PAR1")
        ),
        ("metrics.parquet", "missing", "metrics are missing"),
    ],
)
def test_a_damaged_run_is_left_out(runs, tmp_path, forget_config, name, change, why):
    shutil.copytree(runs, tmp_path / "runs")
    if name.startswith(".hydra"):
        forget_config(tmp_path / "runs/deep/1")
    damaged(tmp_path / "runs" / "deep" / "1" / name, change)
    found = read_runs(tmp_path / "runs")
    assert list(found.arms[0].runs) == [0, 2]
    (line,) = found.left_out
    assert line.startswith(f"1 run left out: {why}")
    assert found.lost == found.left_out


def test_the_first_of_those_left_out_are_named(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "runs")
    (tmp_path / "runs" / "deep" / "1" / "result.json").write_text("{")
    for number in range(4, 9):
        shutil.copytree(tmp_path / "runs" / "deep" / "1", tmp_path / "runs" / "deep" / str(number))
    (line,) = read_runs(tmp_path / "runs").lost
    assert line == (
        "6 runs left out: config or result can't be read (deep/1, deep/4, deep/5 and 3 more)"
    )
    left = [tmp_path / "a", None, None, None]
    assert _named(tmp_path, left) == " (a and 3 more)"
    assert _named(tmp_path, [None]) == ""


def test_metrics_of_another_run_are_left_out(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "runs")
    own = tmp_path / "runs" / "deep" / "1"
    shutil.copy(runs / "deep" / "0" / "metrics.parquet", own)
    assert read_runs(tmp_path / "runs").left_out == (
        "1 run left out: metrics are not those of the result (deep/1)",
    )
    with pytest.raises(ConfigError, match=r"came to its end; 1 run left out: metrics are not"):
        read_runs(own)


@pytest.mark.parametrize(
    ("name", "message"), [("none", "no such folder"), ("file", "not a folder"), ("", "holds no")]
)
def test_a_folder_without_runs_is_refused(name, message, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=message):
        read_runs(tmp_path / name)


def test_what_a_run_has_solved_it_may_lose_again(tmp_path, monkeypatch):
    """``ends_solved`` is of the last test pass; also of results that are older than it."""
    monkeypatch.chdir(tmp_path)
    words = ["model=rnn", "task=easy", "optimizer=adam", "optimizer.lr=0.15", "plot=false"]
    tests = ["steps=60", "eval_every=5", "eval_batches=2", "solved_accuracy=0.8", "solved_passes=1"]
    sweep = ["-m", *words, *tests, "seed=range(0,8)", "workers=1", "hydra.sweep.dir=sweep"]
    assert main(sweep) == 0
    runs = [Run.read(tmp_path / "sweep" / str(job)) for job in range(8)]
    for run in runs:
        passes = run.metrics()["accuracy_test"].drop_nulls().to_numpy() >= 0.8
        assert (run.result.solved_at is not None) == passes.any()
        assert run.result.ends_solved == passes[-1]
    assert {run.result.ends_solved for run in runs if run.result.solved_at} == {True, False}
    for run in runs:
        path = run.folder / "result.json"
        old = json.loads(path.read_text())
        del old["ends_solved"]
        path.write_text(json.dumps(old))
        assert Run.read(run.folder).result == run.result
