"""Events and curves that a power cut emptied are made again when their run is asked for."""

import json
import shutil

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hw2exp.records import checkpoint_folder as checkpoints
from hw2exp.records.run_dir import read_result
from hw2exp.records.write_order import json_bytes
from hw2exp.train import main

WORDS = ["task=easy", "model=rnn", "steps=60", "eval_every=20", "eval_batches=1", "log_every=5",
         "batch_size=8", "check_initial_loss=off", "spikes.margin=0.01", "spikes.deviations=0",
         "spikes.window=5"]  # fmt: skip

TEXTS = "config/text_summary", "spikes/text_summary"


def shown(folder):
    """Return what TensorBoard's reader finds of a run."""
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    tags = accumulator.Tags()
    return (
        {t: [(e.step, e.value) for e in accumulator.Scalars(t)] for t in tags["scalars"]},
        {t: [e.tensor_proto for e in accumulator.Tensors(t)] for t in TEXTS},
        sorted(tags["tensors"]),
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown") / "run"
    assert main([*WORDS, f"hydra.run.dir={folder}"]) == 0
    assert read_result(folder).spikes
    return folder


LOST = {
    "events empty": ("events*", b""),
    "events of zeros": ("events*", b"\0" * 5000),
    "events gone": ("events*", None),
    "a picture empty": ("curve.png", b""),
    "a picture of zeros": ("curve.svg", b"\0" * 5000),
    "a record empty": (".hydra/overrides.yaml", b""),
    "the config of zeros": (".hydra/config.yaml", b"\0" * 900),
}


@pytest.mark.slow
@pytest.mark.parametrize("lost", LOST)
def test_what_was_lost_is_made_again(whole, tmp_path, capsys, lost):
    pattern, left = LOST[lost]
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (path,) = run.glob(pattern)
    path.unlink()
    if left is not None:
        path.write_bytes(left)
    before = {each.name: each.read_bytes() for each in whole.glob("*.[ps]*[gta]")}
    capsys.readouterr()
    assert main([*WORDS, f"resume={run}"]) == 0
    told = capsys.readouterr()
    assert "has its result: nothing is left to do" in told.out
    assert told.err == ""
    assert shown(run) == shown(whole)
    assert len(list(run.glob("events*"))) == 1
    assert {name: (run / name).read_bytes() for name in before} == before
    for name in ("config.yaml", "overrides.yaml"):
        record = (whole / ".hydra" / name).read_text()
        again = (run / ".hydra" / name).read_text()
        assert [line for line in again.splitlines() if "resume" not in line] == [
            line for line in record.splitlines() if "resume" not in line
        ]


def test_what_is_whole_is_left_alone(whole, capsys):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()}
    assert main([*WORDS, f"resume={whole}"]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_damaged_metrics_make_no_events(whole, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (events,) = run.glob("events*")
    events.write_bytes(b"")
    (run / "metrics.parquet").write_bytes(b"PAR1")
    assert main([*WORDS, f"resume={run}"]) == 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{run}: its events or its curve are empty and can't be made again: " in error


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["metrics.parquet", "parameters.safetensors"])
def test_data_that_were_emptied_are_computed_again(whole, tmp_path, capsys, name):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    content = (run / name).read_bytes()
    (run / name).write_bytes(b"\0" * len(content))
    assert main([*WORDS, f"resume={run}"]) == 0
    assert "resumes after step 59" in capsys.readouterr().out
    assert (run / name).read_bytes() == content


def test_a_result_of_another_config_is_not_taken(whole, tmp_path, capsys):
    """A run whose folder was taken over, with its old record: the result says whose it is."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    shutil.rmtree(run / "checkpoints")
    path = run / "result.json"
    result = json.loads(path.read_text())
    result["config"]["seed"] = 7
    path.write_bytes(json_bytes(result))
    assert main([*WORDS, f"resume={run}"]) == 2
    assert capsys.readouterr().err == f"hw2exp: resume={run}: {path} has seed=7, not 0\n"
    result["config"]["optimizer"]["alpha"] = "much"
    path.write_bytes(json_bytes(result))
    assert main([*WORDS, f"resume={run}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"resume={run}: {path} has an unusable config: optimizer.alpha=much" in error


def test_a_folder_that_may_not_be_read_is_told_in_a_line(tmp_path, monkeypatch, capsys):
    """Not in Hydra's words besides; root may read everything, so the system is made to refuse."""

    def refused(run):
        raise PermissionError(13, "Permission denied", str(run / "checkpoints"))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoints, "_folders", refused)
    assert main([*WORDS, "plot=false", "checkpoint_every=20", "hydra.run.dir=run"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("hw2exp: ")
    assert "checkpoints: Permission denied" in error
    assert main([*WORDS, "plot=false", "checkpoint_every=20", "resume=run"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "checkpoints: Permission denied" in error
