"""Any folder as frames: what is loaded is what the runs returned, and nothing is lost silently."""

import json
import shutil

import polars
import pytest

import hw2exp
from hw2exp.system.problems import ConfigError

SHORT = (
    "task=easy", "model=rnn", "model.hidden_size=6", "batch_size=4", "steps=20", "eval_every=10",
    "eval_batches=1", "log_every=7", "plot=false", "check_initial_loss=off",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run, a sweep over choices, and one with packed records, in a folder."""
    folder = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        clips = "clip=none,norm", "seed=1,2"
        rates = "optimizer.lr=0.1,0.01", "seed=1,2", "records=packed"
        return (
            folder,
            hw2exp.run(*SHORT, "hydra.run.dir=run"),
            hw2exp.sweep(*SHORT, *clips, "hydra.sweep.dir=folders"),
            hw2exp.sweep(*SHORT, *rates, "hydra.sweep.dir=packed"),
        )


def names(frame):
    return frame["run"].to_list()


def test_a_folder_of_many(trained):
    folder, run, sweep, packed = trained
    loaded = hw2exp.load(folder)
    assert loaded.unread == {}
    expected = ["folders/0", "folders/1", "folders/2", "folders/3", "run"]
    assert names(loaded.results) == expected + [f"packed/{n}" for n in range(4)]
    types = loaded.results.schema
    for name, kind in {
        "seed": polars.Int64, "optimizer.lr": polars.Float64, "model.name": polars.String,
        "clip.max_norm": polars.Float64, "stop_when_solved": polars.Boolean,
        "status": polars.String, "diverged_at": polars.Int64, "pruned_at": polars.Int64,
        "test_loss": polars.Float64, "ends_solved": polars.Boolean, "spikes": polars.Int64,
    }.items():  # fmt: skip
        assert types[name] == kind, name
    # The same rows as the sweeps returned, and as the run has in its files.
    for prefix, own in (("folders", sweep), ("packed", packed)):
        rows = loaded.results.filter(polars.col("run").str.starts_with(prefix))
        for name in own.results.columns[1:]:
            assert rows[name].to_list() == own.results[name].to_list(), name
    (row,) = loaded.results.filter(run="run").rows(named=True)
    assert row["metrics_sha256"] == run.result.metrics_sha256
    assert (
        row["test_loss"]
        == json.loads((folder / "run/result.json").read_text())["final"]["test_loss"]
    )
    assert {key: row[key] for key in run.config} == run.config


def test_metrics_are_stacked_by_run(trained):
    folder, run, sweep, packed = trained
    metrics = hw2exp.load(folder).metrics
    assert set(names(metrics)) == set(names(hw2exp.load(folder).results))
    assert metrics.filter(run="run").drop("run").equals(run.metrics)
    for prefix, own in (("folders", sweep), ("packed", packed)):
        for number in range(4):
            found = metrics.filter(run=f"{prefix}/{number}").drop("run")
            assert found.equals(own.metrics.filter(job=number).drop("job"))


@pytest.mark.parametrize(("part", "expected"), [
    ("run", ["."]), ("folders", ["0", "1", "2", "3"]), ("folders/2", ["."]),
    ("packed", ["0", "1", "2", "3"]),
])  # fmt: skip
def test_each_kind_of_folder(trained, part, expected):
    loaded = hw2exp.load(trained[0] / part)
    assert names(loaded.results) == expected
    assert set(names(loaded.metrics)) == set(expected)


def test_a_sweep_of_one_job_has_no_keys_that_vary(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = hw2exp.sweep(*SHORT, "hydra.sweep.dir=s").results
    assert results.columns[:2] == ["job", "status"]


def test_what_can_t_be_read_is_named(trained, tmp_path, capsys):
    folder = tmp_path / "many"
    shutil.copytree(trained[0], folder)
    (folder / "folders/0/result.json").write_text("{")
    (folder / "folders/1/result.json").unlink()
    (folder / "folders/2/metrics.parquet").write_bytes(b"")
    fleet = sorted((folder / "packed/packed").glob("*.safetensors"))[0]
    fleet.unlink()
    loaded = hw2exp.load(folder)
    assert {"folders/0", "folders/1", "packed"} == set(loaded.unread)
    assert "result.json" in loaded.unread["folders/0"]
    assert "no result" in loaded.unread["folders/1"]
    assert "of 4 runs have no result" in loaded.unread["packed"]
    assert names(loaded.results)[:3] == ["folders/2", "folders/3", "run"]
    assert capsys.readouterr().err == ""
    assert "folders/2" not in names(loaded.metrics)
    assert loaded.unread["folders/2"] == "metrics: metrics can't be read"
    assert "folders/2: its metrics are left out" in capsys.readouterr().err


def test_bad_input_is_a_line(tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        hw2exp.load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="holds no run"):
        hw2exp.load(tmp_path)


def test_pandas_gets_the_same_values(trained):
    pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    results = hw2exp.load(trained[0]).results
    frame = results.to_pandas()
    assert list(frame.columns) == results.columns
    assert frame["test_loss"].tolist() == results["test_loss"].to_list()
