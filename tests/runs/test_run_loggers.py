"""Other tools are told of each run; they change nothing, and their failures cost a line."""

import json
import struct
from pathlib import Path
from typing import ClassVar

import pytest

import hw2exp
from hw2exp.config.groups import Logger
from hw2exp.config.registry import _SECTIONS, ADDED_CHOICES, register
from hw2exp.records.metrics import read_metrics
from hw2exp.system.problems import ConfigError
from hw2exp.train import main

SHORT = (
    "task=easy", "model=rnn", "model.hidden_size=6", "batch_size=4", "steps=20", "eval_every=10",
    "eval_batches=1", "log_every=7", "check_initial_loss=off", "optimizer=sgd", "plot=false",
    "checkpoint_every=5",
)  # fmt: skip
SEEDS = "seed=1,2"


class Notes(Logger):
    """Notes what a logger is told; fails where a test wants it."""

    told: ClassVar[list] = []
    fails: ClassVar[str] = ""

    def new(self):
        return Note()


class Note:
    def note(self, *what):
        if Notes.fails == what[0]:
            raise OSError("no connection\nto the server")
        Notes.told.append(what)

    def begin(self, config, folder):
        self.note("begin", config, folder)

    def log(self, step, values):
        self.note("log", step, values)

    def end(self, result, folder):
        self.note("end", result, folder)


@pytest.fixture
def notes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    register("logger", "notes")(Notes)
    Notes.told, Notes.fails = [], ""
    yield Notes
    _SECTIONS["logger"].pop("notes")
    ADDED_CHOICES.pop(("logger", "notes"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The digests without a logger."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path_factory.mktemp("plain"))
        return digests(hw2exp.sweep(*SHORT, SEEDS, "hydra.sweep.dir=s"))


def digests(sweep):
    frame = sweep.results
    return {name: frame[name].to_list() for name in ("parameters_sha256", "metrics_sha256")}


def test_a_logger_of_one_s_own_is_told_what_the_files_hold(notes, plain):
    sweep = hw2exp.sweep(*SHORT, SEEDS, "logger=notes", "hydra.sweep.dir=s")
    assert digests(sweep) == plain
    begun = [what for what in notes.told if what[0] == "begin"]
    assert [config["seed"] for _, config, _ in begun] == [1, 2]
    assert [Path(folder).name for _, _, folder in begun] == ["0", "1"]
    rows = [(step, values) for what, step, values in notes.told if what == "log"]
    for job in (0, 1):
        frame = read_metrics(Path(f"s/{job}/metrics.parquet"))
        for row in frame.to_dicts():
            step = row.pop("step")
            assert (step, {k: v for k, v in row.items() if v is not None}) in rows
    ended = [what for what in notes.told if what[0] == "end"]
    assert [result["status"] for _, result, _ in ended] == ["finished"] * 2
    assert [r["metrics_sha256"] for _, r, _ in ended] == plain["metrics_sha256"]


def test_a_resumed_run_is_told_from_its_first_row(notes, plain):
    hw2exp.sweep(*SHORT, SEEDS, "logger=notes", "hydra.sweep.dir=s")
    rows = [what for what in notes.told if what[0] == "log"]
    Path("s/0/result.json").unlink()
    Notes.told = []
    assert digests(hw2exp.sweep(*SHORT, SEEDS, "logger=notes", "resume=s")) == plain
    assert [step for what, step, _ in Notes.told if what == "log"] == [7, 10, 14, 20]
    assert all(what in rows for what in Notes.told if what[0] == "log")


@pytest.mark.parametrize("where", ["begin", "log", "end"])
def test_a_failure_costs_a_line_and_no_run(notes, plain, capsys, where):
    notes.fails = where
    assert digests(hw2exp.sweep(*SHORT, SEEDS, "logger=notes", "hydra.sweep.dir=s")) == plain
    told = capsys.readouterr().err.splitlines()
    assert 1 <= len(told) <= 2
    assert set(told) == {
        "hw2exp: warning: logger=notes: failed, so the runs go on without it: OSError: "
        "no connection"
    }


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_what_is_not_installed_is_bad_input(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hw2exp.config.jobs.find_spec", lambda package: None)
    assert main([*SHORT, f"logger={name}"]) == 2
    assert f"pip install 'hw2exp[{name}]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match=f"logger={name} needs a folder for each run"):
        hw2exp.sweep(*SHORT[:-1], SEEDS, f"logger={name}", "records=packed")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_holds_the_runs(plain, tmp_path, monkeypatch, workers):
    mlflow = pytest.importorskip("mlflow.tracking")
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("sqlalchemy")
    pytest.importorskip("alembic")
    uri = f"sqlite:///{tmp_path / 'runs.db'}"
    words = "logger=mlflow", f"logger.uri='{uri}'", "plot=true", "workers=2", "hydra.sweep.dir=s"
    assert digests(hw2exp.sweep(*SHORT, SEEDS, *words)) == plain
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("hw2exp")
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.params["seed"] for run in runs) == ["1", "2"]
    for run in runs:
        job = int(run.data.params["seed"]) - 1
        assert run.info.run_name == f"s/{job}"
        assert run.info.status == "FINISHED"
        assert run.data.tags["metrics_sha256"] == plain["metrics_sha256"][job]
        frame = read_metrics(Path(f"s/{job}/metrics.parquet"))
        for name in ("loss_train", "loss_test", "lr"):
            found = client.get_metric_history(run.info.run_id, name)
            expected = frame.select("step", name).drop_nulls().rows()
            assert [(each.step, each.value) for each in found] == expected
        kept = {each.path for each in client.list_artifacts(run.info.run_id)}
        assert kept == {"config.yaml", "result.json", "curve.png"}


def framed(content):
    """Yield the records of a file in LevelDB's log format, as W&B writes it after 7 bytes."""
    at, parts = 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, size, kind = struct.unpack_from("<IHB", content, at)
        parts += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_holds_the_runs_offline(plain, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.chdir(tmp_path)
    words = "logger=wandb", "plot=true", "hydra.sweep.dir=s"
    assert digests(hw2exp.sweep(*SHORT, SEEDS, *words)) == plain
    assert {path.name for path in tmp_path.iterdir()} == {"s"}
    for job in (0, 1):
        (path,) = Path(f"s/{job}").glob("wandb/offline-run-*/run-*.wandb")
        records = [Record.FromString(data) for data in framed(path.read_bytes())]
        configs = {u.key: json.loads(u.value_json) for r in records for u in r.run.config.update}
        assert configs["seed"] == job + 1
        rows = [
            {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in r.history.item}
            for r in records
            if r.HasField("history")
        ]
        frame = read_metrics(Path(f"s/{job}/metrics.parquet"))
        found = [(row["_step"], row["loss_train"]) for row in rows]
        assert found == frame.select("step", "loss_train").rows()
        kept = {each.path for r in records for each in r.files.files}
        assert {".hydra/config.yaml", "config.yaml"} & kept
        assert {"result.json", "curve.png"} <= kept
