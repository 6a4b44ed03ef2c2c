"""Any arms are compared with any others, on the same seeds and at the same other settings."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import polars
import pytest
from scipy.stats import false_discovery_control, permutation_test

from hw2exp.compare.__main__ import main
from hw2exp.compare.against import compare_sides
from hw2exp.compare.contrasts import _difference
from hw2exp.compare.measures import MEASURES
from hw2exp.compare.sides import Side, read_conditions
from hw2exp.diagnostics.spike_score import spike_score
from hw2exp.records.runs import read_runs
from hw2exp.system.problems import ConfigError

SHORT = [
    "task=easy", "model=rnn", "steps=40", "eval_every=20", "eval_batches=2", "log_every=2",
    "plot=false", "spikes.window=5", "spikes.margin=0.05", "spikes.deviations=2", "workers=1",
]  # fmt: skip

COLUMNS = ["grad_norm_clipped.mean", "loss_test.last"]

SWEPT = ["clip=none,norm", "optimizer=sgd,rmsprop", "optimizer.lr=0.02,0.2", "seed=range(0,4)"]


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    """A sweep with a folder for each run, and the same one with packed records."""
    from hw2exp.train import main as train

    folder = tmp_path_factory.mktemp("against")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for records in ("folders", "packed"):
            words = [*SHORT, *SWEPT, f"records={records}", f"hydra.sweep.dir={records}"]
            assert train(["-m", *words]) == 0
    return folder


@pytest.fixture
def here(sweeps, tmp_path, monkeypatch):
    """A copy of the sweeps, which may be damaged."""
    shutil.copytree(sweeps, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def value(run, measure):
    """A second implementation of some measures, from a run's files."""
    result = json.loads((run / "result.json").read_text())
    frame = polars.read_parquet(run / "metrics.parquet")
    match measure:
        case "spikes":
            return 1_000 * len(result["spikes"]) / result["step"]
        case "solved":
            return float(result["solved_at"] is not None)
        case "test_loss":
            final, initial = result["final"]["test_loss"], result["initial"]["loss"]
            return initial if result["diverged_at"] else min(final, initial)
        case "last_loss":
            last = frame.filter(polars.col("step") > result["step"] - 20)["loss_train"].mean()
            return result["initial"]["loss"] if result["diverged_at"] else min(
                last, result["initial"]["loss"])  # fmt: skip
        case "grad_spike_score":
            return spike_score(frame["grad_norm_raw"].to_numpy(), 2).share
        case "largest_grad":
            return frame["grad_norm_raw_max"].max()
        case "grad_norm_clipped.mean":
            return frame["grad_norm_clipped"].mean()
        case "loss_test.last":
            return frame["loss_test"].drop_nulls()[-1]


def by_settings(folder, measure):
    """The measure of each run, by clip, optimizer, rate and seed."""
    found = {}
    for config, path in configs(folder):
        clip, optimizer = config["clip"]["name"], config["optimizer"]
        found[clip, optimizer["name"], optimizer["lr"], config["seed"]] = value(path, measure)
    return found


def configs(folder):
    """The config and the folder of each run."""
    for path in sorted(folder.glob("[0-9]*/result.json")):
        yield json.loads(path.read_text())["config"], path.parent


MEASURED = ["spikes", "solved", "test_loss", "last_loss", "largest_grad", *COLUMNS]


def test_two_optimizers_equal_a_plain_computation(sweeps):
    found = compare_sides(
        [str(sweeps / "folders"), "optimizer=sgd,clip=none"],
        ["optimizer=rmsprop", "clip=none"],
        MEASURED,
    )
    pvalues = []
    known = {measure: by_settings(sweeps / "folders", measure) for measure in MEASURED}
    for place, each in enumerate(found.contrasts):
        measure, rate = MEASURED[place // 2], [0.02, 0.2][place % 2]
        of = known[measure]
        a, b = (
            np.array([of["none", name, rate, seed] for seed in range(4)])
            for name in ("sgd", "rmsprop")
        )
        assert found.labels[place] == f"optimizer.lr={rate}"
        assert each.paired.name == measure
        assert each.paired.values == pytest.approx(np.array([a, b]))
        assert each.difference.value == pytest.approx((a - b).mean())
        by_signs = permutation_test(
            (a - b,), lambda x, axis: x.mean(axis), permutation_type="samples",
            n_resamples=np.inf,
        )  # fmt: skip
        pvalues.append(by_signs.pvalue)
        assert each.difference.pvalue_alone == pytest.approx(by_signs.pvalue)
    corrected = [each.difference.pvalue for each in found.contrasts]
    assert corrected == pytest.approx(false_discovery_control(pvalues))
    assert {"optimizer"} <= {*found.differ}
    assert any(p < 1 for p in corrected)


def test_packed_records_compare_like_folders(sweeps):
    names = [name for name in MEASURES if name != "seconds"]
    made = [
        compare_sides([str(sweeps / folder), "clip=norm"], ["clip=none"], names)
        for folder in ("folders", "packed")
    ]
    one, other = ([*zip(each.labels, each.contrasts, strict=True)] for each in made)
    assert [label for label, _ in one] == [label for label, _ in other]
    for (_, a), (_, b) in zip(one, other, strict=True):
        assert a.difference == b.difference, a.paired.name
        assert a.paired.values.tobytes() == b.paired.values.tobytes()
    assert any(each.difference.value for _, each in one)


def test_what_is_averaged_is_averaged_within_a_seed(sweeps):
    """Neither are runs of a seed at two rates two pairs."""
    folder = str(sweeps / "folders")
    words = [folder, "clip=norm"], ["clip=none"], ["test_loss"]
    (found,) = compare_sides(*words, by=["optimizer.lr"]).contrasts[:1]
    of = by_settings(sweeps / "folders", "test_loss")
    expected = [
        np.mean([of["norm", name, 0.02, seed] - of["none", name, 0.02, seed]
                 for name in ("sgd", "rmsprop")])
        for seed in range(4)
    ]  # fmt: skip
    assert found.paired.values[0] - found.paired.values[1] == pytest.approx(expected)
    (whole,) = compare_sides(*words, by=[]).contrasts
    assert len(whole.paired.seeds) == 4
    assert len(whole.paired.a) == 4


def test_sensitivity_is_compared_over_the_rates(sweeps):
    folder = str(sweeps / "folders")
    found = compare_sides([folder, "clip=norm"], ["clip=none"], ["lr_sensitivity"])
    assert found.labels == ["optimizer=sgd", "optimizer=rmsprop"]
    of = by_settings(sweeps / "folders", "test_loss")  # limited, as in the definition
    losses = [[of["norm", "sgd", rate, seed] for rate in (0.02, 0.2)] for seed in range(4)]
    expected = [np.mean(each) - min(each) for each in losses]
    assert found.contrasts[0].paired.values[0] == pytest.approx(expected)


def test_folders_are_compared_by_what_is_not_the_same_in_them(here):
    for config, path in configs(here / "folders"):
        side = "a" if config["clip"]["name"] == "norm" else "b"
        shutil.move(path, here / side / path.name)
    found = compare_sides(["a"], ["b"], ["spikes"])
    same = compare_sides(["packed", "clip=norm"], ["clip=none"], ["spikes"])
    assert [each.difference for each in found.contrasts] == [
        each.difference for each in same.contrasts
    ]
    assert found.differ == ["clip"]
    both = compare_sides(["a", "b", "clip=norm"], ["clip=none"], ["spikes"])
    assert [each.difference for each in both.contrasts] == [
        each.difference for each in same.contrasts
    ]


def test_seeds_of_one_side_are_named_and_not_counted(here, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "140")
    for config, path in configs(here / "folders"):
        own = config["seed"], config["clip"]["name"], config["optimizer"]["lr"]
        if own == (3, "norm", 0.02):
            shutil.rmtree(path)
    assert main(["folders", "clip=norm", "--against", "clip=none", "--measure", "spikes"]) == 0
    out, error = capsys.readouterr()
    assert error.count("not on both sides, not counted: seed 3\n") == 2
    rows = re.findall(r"^optimizer=\w+ optimizer.lr=([\d.]+) +(\d) ", out, flags=re.MULTILINE)
    assert rows == [("0.02", "3"), ("0.2", "4"), ("0.02", "3"), ("0.2", "4")]


def test_a_run_that_cannot_be_read_is_named_and_makes_the_status_1(here, capsys):
    os.unlink("folders/0/result.json")
    words = ["folders", "clip=norm", "--against", "clip=none", "--measure", "solved"]
    assert main(words) == 1
    told = capsys.readouterr().err
    assert "folders/0 left out: has no result" in told
    result = json.loads(Path("folders/1/result.json").read_text()) | {"status": "interrupted"}
    Path("folders/1/result.json").write_text(json.dumps(result))
    assert main(words) == 1
    assert "folders/1 left out: was interrupted" in capsys.readouterr().err


def test_the_table_and_what_it_says(sweeps, monkeypatch, capsys):
    monkeypatch.chdir(sweeps)
    monkeypatch.setenv("COLUMNS", "140")
    assert main(["packed", "clip=norm", "--against", "clip=none", "--by", "none"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["A  clip=norm (16 runs)", "B  clip=none (16 runs)"]
    heads = [line.split() for line in lines if line.endswith("A has")]
    assert [head[0] for head in heads] == ["spikes", "solved", "ends_solved", "diverged"]
    assert "corrected for 4 comparisons" in lines[-2]
    assert lines[-1] == "A and B differ in clip"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("packed clip=nrm --against clip=none", "clip=nrm: no run has it; there: none, norm"),
        ("packed clp=norm --against clip=none", "clp=norm: no such key; did you mean clip?"),
        ("packed clip= --against clip=none", "clip=: lacks a value; must be settings such as"),
        ("packed clip=norm --against optimizer=sgd", "clip=norm and optimizer=sgd: both have"),
        ("packed --against clip=none", "packed and clip=none: both have"),
        ("packed --against packed", "packed and packed: both have"),
        ("clip=norm --against clip=none", "clip=norm: names no folder"),
        ("nowhere clip=norm --against clip=none", "nowhere: no such folder"),
        ("packed clip=norm --against nowhere", "nowhere: no such folder"),
        ("packed clip=norm --against", "argument --against: expected at least one argument"),
        ("packed clip=norm --against clip=none --measure spike",
         "--measure=spike: no such measure; did you mean spikes?"),
        ("packed clip=norm --against clip=none --measure spikes,spikes",
         "--measure=spikes: stands there twice"),
        ("packed clip=norm --against clip=none --by clip", "--by=clip: the sides differ in it"),
        ("packed clip=norm --against clip=none --by lr", "--by=lr: no such key; did you mean"),
        ("packed clip=norm", "clip=norm: no such folder; settings need --against"),
        ("packed --measure spikes", "--measure=spikes: needs --against"),
        ("packed --by optimizer", "--by=optimizer: needs --against"),
        ("packed clip=norm,optimizer.lr=0.02 --against clip=none,optimizer=sgd,optimizer.lr=0.2 "
         "--measure lr_sensitivity", "--measure=lr_sensitivity: needs runs at two learning rates"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(line, message, sweeps, monkeypatch, capsys):
    monkeypatch.chdir(sweeps)
    assert main(line.split()) == 2
    out, error = capsys.readouterr()
    assert error.startswith(f"hw2exp: {message}")
    assert (error.count("\n"), out) == (1, "")


def test_a_column_of_the_diagnostics_is_compared(tmp_path, monkeypatch, capsys):
    """The user's metric too; in packed records there is none."""
    from hw2exp.train import main as train

    monkeypatch.chdir(tmp_path)
    words = [*SHORT, "metric=spectrum", "metric.every=20", "seed=0,1,2", "clip=none,norm"]
    assert train(["-m", *words, "hydra.sweep.dir=s"]) == 0
    frame = polars.read_parquet("s/0/diagnostics.parquet")
    name = next(column for column in frame.columns if column.startswith("metric.radius"))
    found = compare_sides(["s", "clip=norm"], ["clip=none"], [f"{name}.max"])
    (only,) = found.contrasts
    of = [polars.read_parquet(f"s/{n}/diagnostics.parquet")[name].max() for n in range(6)]
    assert sorted(only.paired.values.ravel()) == sorted(of)
    capsys.readouterr()
    asked = ["s", "clip=norm", "--against", "clip=none", "--measure", "lyapunov.mean"]
    assert main(asked) == 2
    assert "a comparison needs 2 seeds on both sides" in capsys.readouterr().err


def test_what_differs_besides_is_told(here):
    from hw2exp.train import main as train

    words = [
        *SHORT[:2],
        "steps=30",
        *SHORT[3:],
        "batch_size=8",
        "optimizer=rmsprop",
        "optimizer.lr=0.02",
    ]
    assert train(["-m", *words, "seed=0,1", "hydra.sweep.dir=small"]) == 0
    one = ["folders", "small", "clip=norm,optimizer=rmsprop,optimizer.lr=0.02"]
    told = r"differ in batch_size \(32; 8\) too; name it on both sides"
    with pytest.raises(ConfigError, match=told):
        compare_sides(one, ["clip=none,steps=30"], ["spikes"])
    found = compare_sides(one, ["clip=none,steps=30,batch_size=8"], ["spikes"])
    assert [*found.differ] == ["clip", "steps", "batch_size"]
    found = compare_sides(["folders", *one[2:]], ["small", "clip=none"], ["spikes"])
    assert [*found.differ] == ["clip", "steps", "batch_size"]  # each constant in its folder


def test_how_settings_are_written(sweeps):
    arms = read_runs(sweeps / "packed").arms

    def chosen(*alternatives):
        found = Side([read_conditions(words) for words in alternatives]).of(arms)
        return {(arm.settings["clip"], arm.optimizer, arm.rate) for arm in found}

    every = chosen("model=rnn")
    assert len(every) == 8
    assert chosen("clip=none") == {each for each in every if each[0] == "none"}
    assert chosen("clip!=none") == chosen("clip=norm") == every - chosen("clip=none")
    assert chosen("clip=none,norm") == every
    assert chosen("optimizer.lr=2e-2") == chosen("optimizer.lr=0.02") == chosen("optimizer.lr!=0.2")
    assert chosen("optimizer=sgd,clip=none,optimizer.lr=.2") == {("none", "sgd", 0.2)}
    assert chosen("clip=none", "optimizer=sgd") == chosen("clip=none") | chosen("optimizer=sgd")
    assert chosen("clip.max_norm=1") == chosen("clip=norm")
    first, last = arms[0].settings["task.t1"]
    assert chosen(f"task.t1=[{first},{last}],clip=none") == chosen("clip=none")
    for wrong in ("clip", "", "=norm", "clip=,x=1", ","):
        with pytest.raises(ConfigError, match="must be settings such as"):
            read_conditions(wrong)


def test_means_that_differ_by_rounding_alone_are_equal():
    one, other = (0.1 + 0.2 + 0.3) / 3, (0.3 + 0.2 + 0.1) / 3
    assert one != other
    (same,) = [_difference(np.full(8, one), np.full(8, other))]
    assert not same.any()
    assert _difference(np.array([np.inf, 1.0]), np.array([0.5, 0.5])).tolist() == [np.inf, 0.5]
