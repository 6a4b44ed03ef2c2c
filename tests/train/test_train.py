"""The command from outside: the run folder of the contract, and the exit statuses."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import polars
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hw2exp.diagnostics.explosions import explosions
from hw2exp.records.metrics import CATALOG, digest_of_frame, read_metrics
from hw2exp.records.run_dir import read_result
from hw2exp.train import main
from tests.survival.progress import wait_for_steps

SHORT = ["task=easy", "steps=40", "eval_every=20", "eval_batches=2"]
SMALL = ["task=easy", "model=rnn", "eval_every=10", "eval_batches=1", "batch_size=8"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def command(*arguments, cwd):
    """Start the command, and let it live no longer than the test, even if that fails."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hw2exp.train", *arguments], cwd=cwd, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_explosions_and_updates_are_those_of_every_step(here):
    """Rows of every step tell the same: a spike's cause is found whatever is logged."""
    words = ["model=attn_rnn", "task=normal", "steps=400", "optimizer.lr=5e-3", "seed=3"]
    quick = ["eval_every=400", "eval_batches=1"]
    assert main([*words, *quick, "log_every=1", "hydra.run.dir=every"]) == 0
    assert main([*words, *quick, "log_every=50", "hydra.run.dir=few"]) == 0
    every, few = read_result(here / "every"), read_result(here / "few")
    assert (every.explosions, every.spikes) == (few.explosions, few.spikes)
    rows = polars.read_parquet(here / "every" / "metrics.parquet")
    norms = rows["grad_norm_raw"].to_numpy()[:, None]
    exploded = np.flatnonzero(explosions(norms)) + 1
    assert len(exploded) > 5
    assert len(every.spikes) > 1
    assert every.explosions["steps"] == len(exploded)
    assert every.explosions["watched"] == 400 - 25
    for spike in every.spikes:
        before = range(spike["start"] - 5, spike["start"])
        assert spike["after_explosion"] == bool(set(before) & set(exploded.tolist()))
    coarse = polars.read_parquet(here / "few" / "metrics.parquet")
    updates = rows["update_norm_max"].to_numpy().reshape(-1, 50).max(1)
    assert coarse["update_norm_max"].to_list() == updates.tolist()


def test_a_run_leaves_what_the_contract_says(here, capsys):
    assert main(["model=lstm", "log_every=1", *SHORT]) == 0
    (folder,) = here.glob("outputs/*/*")
    assert re.fullmatch(r"outputs/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d", str(folder.relative_to(here)))
    names = {path.name for path in folder.iterdir()}
    (events,) = (name for name in names if name.startswith("events.out.tfevents."))
    assert names == {
        ".hydra",
        "checkpoints",
        "result.json",
        "metrics.parquet",
        "parameters.safetensors",
        "curve.png",
        "curve.svg",
        events,
    }

    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["step"] == 40
    assert result["initial"]["loss"] == pytest.approx(np.log(4), abs=0.1)
    assert re.fullmatch("[0-9a-f]{64}", result["parameters_sha256"])
    assert result["metrics_sha256"] == digest_of_frame(read_metrics(folder / "metrics.parquet"))

    frame = polars.read_parquet(folder / "metrics.parquet")
    assert frame.columns == ["step", *CATALOG]
    assert frame["step"].to_list() == list(range(1, 41))
    assert frame.filter(polars.col("loss_test").is_not_null())["step"].to_list() == [20, 40]
    assert result["final"]["test_loss"] == frame["loss_test"][-1]

    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    for name, (tag, _) in CATALOG.items():
        shown = [(event.step, event.value) for event in accumulator.Scalars(tag)]
        kept = frame.select("step", name).drop_nulls().rows()
        assert [step for step, _ in shown] == [step for step, _ in kept]
        np.testing.assert_allclose([v for _, v in shown], [v for _, v in kept], rtol=1e-6)

    said = capsys.readouterr().out
    assert "step 40/40" in said
    above = folder.parent.relative_to(here)
    shown = f"runFilter=%5E{folder.name}%24"
    for part in ("ln 4 = 1.3863", "curve.png", f"tensorboard --logdir {above}\n", shown):
        assert part in said


def test_the_same_command_gives_the_same_run(here):
    digests = set()
    for name in ("a", "b"):
        assert main([*SHORT, "model=attn_rnn", "plot=false", f"hydra.run.dir={name}"]) == 0
        result = read_result(here / name)
        digests.add((result.parameters_sha256, result.metrics_sha256))
    assert len(digests) == 1
    assert main([*SHORT, "model=attn_rnn", "plot=false", "hydra.run.dir=c", "seed=1"]) == 0
    other = read_result(here / "c")
    assert (other.parameters_sha256, other.metrics_sha256) not in digests


def test_how_often_it_logs_changes_neither_training_nor_spikes(here):
    for name, every in (("often", 1), ("seldom", 7)):
        arguments = [*SHORT, "plot=false", f"log_every={every}", f"hydra.run.dir={name}"]
        assert main(arguments) == 0
    often, seldom = read_result(here / "often"), read_result(here / "seldom")
    assert often.parameters_sha256 == seldom.parameters_sha256
    assert often.spikes == seldom.spikes
    all_rows = polars.read_parquet(here / "often/metrics.parquet")
    rows = polars.read_parquet(here / "seldom/metrics.parquet")
    assert rows["step"].to_list() == [7, 14, 20, 21, 28, 35, 40]
    between = all_rows.filter(polars.col("step").is_between(22, 28))
    row = rows.filter(polars.col("step") == 28)
    assert row["loss_train"][0] == between["loss_train"][-1]
    assert row["loss_train_max"][0] == between["loss_train"].max()
    assert row["grad_norm_raw_max"][0] == between["grad_norm_raw"].max()
    assert row["accuracy_train"][0] == pytest.approx(between["accuracy_train"].mean())


WILD = ["model=rnn", "model.nonlinearity=relu", "optimizer=sgd", "optimizer.lr=1e6", "plot=true"]


def test_divergence_is_an_observation(here, capsys):
    assert main([*WILD, *SHORT, "hydra.run.dir=run"]) == 0
    result = read_result(here / "run")
    assert result.status == "diverged"
    assert result.diverged_at == result.step
    frame = polars.read_parquet(here / "run/metrics.parquet")
    assert frame["step"][-1] == result.step
    assert f"diverged at step {result.step}" in capsys.readouterr().out
    assert (here / "run/curve.png").stat().st_size > 0


def test_divergence_can_be_made_a_failure(here):
    assert main([*WILD, *SHORT, "fail_on_divergence=true", "plot=false"]) == 3


def test_a_run_stops_when_solved(here):
    arguments = [
        "model=lstm", "optimizer=adam", "optimizer.lr=0.03", "task=easy", "steps=400",
        "eval_every=10", "eval_batches=8", "stop_when_solved=true", "hydra.run.dir=run",
    ]  # fmt: skip
    assert main(arguments) == 0
    result = read_result(here / "run")
    assert result.status == "solved"
    assert result.step == result.solved_at < 400
    assert result.final["test_accuracy"] >= 0.99


def test_a_wrong_start_stops_the_run_with_one_line(here, capsys):
    assert main([*SHORT, "init.readout_scale=20", "hydra.run.dir=run"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "initial loss" in error
    assert "lower init.readout_scale" in error
    assert not (here / "run/result.json").exists()


@pytest.mark.parametrize(("mode", "said"), [("warn", True), ("off", False)])
def test_a_wrong_start_can_be_allowed(here, capsys, mode, said):
    assert main([*SHORT, "init.readout_scale=20", f"check_initial_loss={mode}"]) == 0
    assert ("lower init.readout_scale" in capsys.readouterr().err) == said


def test_a_sweep_makes_a_folder_a_job(here):
    arguments = ["-m", *SHORT, "model=rnn,lstm", "seed=0,1", "plot=false"]
    assert main(arguments) == 0
    (sweep,) = here.glob("outputs/sweeps/*")
    jobs = [read_result(sweep / str(number)) for number in range(4)]
    assert len({job.parameters_sha256 for job in jobs}) == 4
    assert main([*SHORT, "model=lstm", "seed=1", "plot=false", "hydra.run.dir=alone"]) == 0
    alone = read_result(here / "alone")
    assert alone.parameters_sha256 == jobs[3].parameters_sha256
    assert alone.metrics_sha256 == jobs[3].metrics_sha256
    before = (sweep / "0/result.json").read_bytes()
    assert main([*arguments, f"hydra.sweep.dir={sweep}"]) == 2
    assert (sweep / "0/result.json").read_bytes() == before


def test_a_resumed_sweep_runs_what_is_missing(here, capsys):
    arguments = ["-m", *SHORT, "model=rnn,lstm", "seed=0,1", "plot=false"]
    assert main([*arguments, "hydra.sweep.dir='it\\'s a sweep'"]) == 0
    sweep = here / "it's a sweep"
    before = {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()}
    shutil.rmtree(sweep / "2")
    capsys.readouterr()
    assert main([*arguments, 'resume="it\'s a sweep"', "workers=1"]) == 0
    assert "3 of 4 jobs have their result" in capsys.readouterr().out
    after = {path: path.read_bytes() for path in sweep.rglob("*") if path.is_file()}
    anew = {sweep / "2", sweep / "arms"}
    kept = {path for path in before if path.parent != sweep and not anew & {*path.parents}}
    assert kept
    assert {path: after[path] for path in kept} == {path: before[path] for path in kept}
    rerun = read_result(sweep / "2")
    parameters = json.loads(before[sweep / "2/result.json"])["parameters_sha256"]
    assert rerun.parameters_sha256 == parameters
    assert not (here / "outputs").exists()


def test_a_failed_job_leaves_the_others_alone(here, capsys):
    arguments = ["-m", *SHORT, "init.readout_scale=20,1", "plot=false", "hydra.sweep.dir=sweep"]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "job 0 (" in error
    assert "init.readout_scale=20" in error
    assert "initial loss" in error
    assert not (here / "sweep/0/result.json").exists()
    assert read_result(here / "sweep/1").status == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["fleet", "basic"])
def test_a_sweep_exits_with_the_worst_of_its_jobs(here, workers, launcher):
    wild = [word for word in WILD if not word.startswith("optimizer.lr=")]
    arguments = ["-m", *wild, "optimizer.lr=1e6,1e-3", *SHORT, "fail_on_divergence=true"]
    assert main([*arguments, f"hydra/launcher={launcher}", "plot=false"]) == 3
    (sweep,) = here.glob("outputs/sweeps/*")
    assert [read_result(sweep / str(n)).status for n in (0, 1)] == ["diverged", "finished"]


@pytest.mark.nightly
def test_an_interrupt_ends_a_sweep_in_order(here):
    arguments = ["-m", "steps=1000000", "seed=0,1,2", "plot=false", "hydra.sweep.dir=sweep"]
    with command(*arguments, *SMALL, "workers=2", "fleet_size=1", cwd=here) as process:
        for line in process.stdout:
            if "2 training" in line:
                break
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error == ""
    for job in "01":
        assert read_result(here / "sweep" / job).status == "interrupted"
    assert not (here / "sweep/2/result.json").exists()


def test_an_occupied_folder_is_not_written_over(here, capsys):
    assert main([*SHORT, "plot=false", "hydra.run.dir=run"]) == 0
    before = {path: path.read_bytes() for path in (here / "run").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main([*SHORT, "plot=false", "hydra.run.dir=run", "seed=3"]) == 2
    assert "hydra.run.dir=run" in capsys.readouterr().err
    after = {path: path.read_bytes() for path in (here / "run").rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
    ],
)
def test_an_interrupt_ends_the_run_in_order(here, number, status):
    words = [*SMALL, "steps=1000000", "plot=false", "hydra.run.dir=run"]
    with command(*words, cwd=here) as process:
        wait_for_steps(process, here)  # a progress line comes later
        process.send_signal(number)
        began = time.monotonic()
        out, error = process.communicate(timeout=60)
    assert process.returncode == status, error
    assert time.monotonic() - began < 10
    assert "interrupted" in out
    result = read_result(here / "run")
    assert result.status == "interrupted"
    assert 0 < result.step < 1000000
    frame = polars.read_parquet(here / "run/metrics.parquet")
    assert frame["step"][-1] == result.step // 10 * 10


def test_the_device_must_be_there(here, capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    assert main([*SHORT, "device=cuda"]) == 2
    assert "device=cuda" in capsys.readouterr().err
    assert list(here.iterdir()) == []
