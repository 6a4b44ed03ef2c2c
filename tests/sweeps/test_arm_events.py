"""TensorBoard's run of every arm."""

from dataclasses import replace

import numpy as np
import polars
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hw2exp.config.run_files import METRICS
from hw2exp.records.metrics import CATALOG, MetricsTable
from hw2exp.records.run_dir import RunResult
from hw2exp.records.runs import read_runs
from hw2exp.sweeps.arm_events import LONGEST, aligned, remove_arms, write_arms
from hw2exp.system.interrupt import NEVER
from hw2exp.system.problems import ConfigError
from hw2exp.train import main


def result(status="finished", spikes=0):
    return RunResult(
        status=status, step=30, diverged_at=30 if status == "diverged" else None, solved_at=None,
        initial={"loss": 1.39, "accuracy": 0.25},
        final={"train_loss": 1.0, "test_loss": 1.0, "test_accuracy": 0.5},
        spikes=[{}] * spikes, parameters_sha256="", metrics_sha256="", seconds=1.0, versions={},
    )  # fmt: skip


def table(losses, tests=None):
    filled = MetricsTable()
    for step, loss in losses.items():
        row = {name: loss for name in CATALOG if not name.endswith(("test", "test_last"))}
        if step in (tests or {}):
            row |= {"loss_test": tests[step], "accuracy_test": 0.5}
        filled.append(step, row)
    return filled


@pytest.fixture
def sweep(tmp_path, job):
    """Jobs of a sweep that have ended, by their losses."""

    def sweep(*runs, overrides=None):
        jobs = []
        for number, (losses, outcome) in enumerate(runs):
            folder = tmp_path / str(number)
            folder.mkdir()
            if losses is not None:
                losses.write(folder / METRICS)
            own = ("task=easy", f"seed={number}") if overrides is None else overrides[number]
            jobs.append(job(*own, outcome=outcome, folder=folder))
        return jobs

    return sweep


def read(folder):
    events = EventAccumulator(str(folder)).Reload()
    scalars = {
        tag: {event.step: event.value for event in events.Scalars(tag)}
        for tag in events.Tags()["scalars"]
    }
    (text,) = events.Tensors("arm/text_summary")
    return scalars, text.tensor_proto.string_val[0].decode()


def test_a_run_that_ended_between_logged_steps_is_no_step_of_the_arm():
    frames = [
        polars.DataFrame({"step": steps, "loss_train": [float(step) for step in steps]})
        for steps in ([10, 20, 30], [10, 13], [10, 20, 24])
    ]
    steps, count, columns = aligned(frames)
    assert steps.tolist() == [10, 20, 30]
    assert count.tolist() == [3, 2, 1]
    np.testing.assert_array_equal(
        columns["loss_train"], [[10, 10, 10], [20, np.nan, 20], [30, np.nan, np.nan]]
    )
    assert np.isnan(columns["loss_test"]).all()


def test_median_quartiles_and_runs_as_tensorboard_reads_them(tmp_path, sweep):
    jobs = sweep(
        (table({10: 1.0, 20: 5.0}, {20: 0.5}), result(spikes=3)),
        (table({10: 2.0, 20: 7.0}, {20: 0.7}), result()),
        (table({10: 3.0, 17: np.nan}), result("diverged")),
        (table({10: 9.0}), result("interrupted")),
        (None, ValueError("lost")),
    )
    write_arms(tmp_path, jobs)
    scalars, text = read(tmp_path / "arms" / "all")
    assert scalars["runs"] == {10: 3, 20: 2}
    assert scalars["loss/train"] == {10: 2, 20: 6}
    assert scalars["loss/train/q1"] == {10: 1, 20: 5}
    assert scalars["loss/train/q3"] == {10: 3, 20: 7}
    assert scalars["loss/test"] == {20: pytest.approx(0.6)}
    for line in ("`task=easy`", "| runs | 5 |", "| missing | 2 |", "| spikes | 0 [0, 3] |",
                 "| statuses | 2 finished, 2 missing, 1 diverged |", "3 runs, each"):  # fmt: skip
        assert line in text


def test_an_arm_of_one_run_and_one_that_cant_be_read_have_none(tmp_path, sweep):
    whole = table({10: 1.0})
    overrides = [("clip=none", "seed=0"), ("clip=norm", "seed=0"), ("clip=norm", "seed=1")]
    jobs = sweep((whole, result()), (whole, result()), (None, result()), overrides=overrides)
    (tmp_path / "2" / METRICS).write_bytes(b"PAR1")
    write_arms(tmp_path, jobs)
    assert not (tmp_path / "arms").exists()


def test_names_are_those_of_folders_and_differ(tmp_path, sweep):
    knobs = ["a/../b=1", "a_.._b=1", f"c={'x' * 300}1", f"c={'x' * 300}2", "../up=1", "d=é ü"]
    overrides = [(knob, f"seed={seed}") for knob in knobs for seed in (0, 1)]
    write_arms(tmp_path, sweep(*[(table({10: 1.0}), result())] * 12, overrides=overrides))
    names = sorted(path.name for path in (tmp_path / "arms").iterdir())
    long = f"c={'x' * 300}"[:LONGEST]
    assert names == sorted(
        ["a_.._b=1", "a_.._b=1_2", long, f"{long}_2", "_up=1", "d=é,ü"]
    )  # fmt: skip


def test_what_is_not_ours_stays(tmp_path, sweep):
    jobs = sweep(*[(table({10: 1.0}), result())] * 2)
    write_arms(tmp_path, jobs)
    kept = tmp_path / "arms" / "mine"
    kept.mkdir()
    (kept / "result.json").touch()
    remove_arms(tmp_path)
    assert list((tmp_path / "arms").iterdir()) == [kept]
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "arms").rename(elsewhere)
    (tmp_path / "arms").symlink_to(elsewhere)
    remove_arms(tmp_path)
    assert not (tmp_path / "arms").is_symlink()
    assert (elsewhere / "mine" / "result.json").exists()


def test_jobs_that_are_called_arms_have_none(tmp_path, sweep):
    jobs = [
        replace(each, job=replace(each.job, folder=tmp_path / "arms" / "all"))
        for each in sweep(*[(table({10: 1.0}), result())] * 2)
    ]
    write_arms(tmp_path, jobs)
    assert not (tmp_path / "arms").exists()


def test_who_interrupts_is_not_kept_waiting(tmp_path, sweep):
    class Interrupted(type(NEVER)):
        def __call__(self):
            return True

    write_arms(tmp_path, sweep(*[(table({10: 1.0}), result())] * 2), Interrupted())
    assert not (tmp_path / "arms").exists()


def test_a_full_disk_is_told_of_and_no_failure(tmp_path, sweep, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "arms/all")

    jobs = sweep(*[(table({10: 1.0}), result())] * 2)
    monkeypatch.setattr("hw2exp.system.disk.make_folder", full)
    write_arms(tmp_path, jobs)
    assert capsys.readouterr().err == "hw2exp: warning: arms/all: No space left on device\n"


@pytest.mark.slow
def test_a_resumed_sweep_writes_them_anew_and_they_are_no_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["-m", "model=rnn", "task=easy", "eval_every=4", "eval_batches=1",
             "log_every=2", "plot=false", "workers=1"]  # fmt: skip
    assert main([*words, "steps=4", "seed=0,1", "clip=none,norm", "hydra.sweep.dir=s"]) == 0
    arms = tmp_path / "s" / "arms"
    assert sorted(path.name for path in arms.iterdir()) == ["clip=none", "clip=norm"]
    before, _ = read(arms / "clip=none")
    assert set(before["runs"]) == {2, 4}
    assert main([*words, "steps=6", "seed=0,1,2", "clip=none,norm", "resume=s"]) == 0
    assert [len(list(path.iterdir())) for path in arms.iterdir()] == [1, 1]
    after, text = read(arms / "clip=none")
    assert after["runs"] == {2: 3, 4: 3, 6: 3}
    assert "`model=rnn task=easy eval_every=4" in text
    found = read_runs(tmp_path / "s")
    assert [len(arm.runs) for arm in found.arms] == [3, 3]
    assert found.left_out == ()
    with pytest.raises(ConfigError, match="no run"):
        read_runs(arms)
