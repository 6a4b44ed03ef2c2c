"""Interventions at the moments of many runs: a table for each, which says what single runs say."""

import itertools
import json
import shutil

import numpy as np
import polars
import pytest

from hw2exp.config.recorded import recorded_config
from hw2exp.diagnostics.spikes import find_spikes, running_median
from hw2exp.fleet.fleet import Fleet
from hw2exp.records.moments import BRANCH, BRANCHES_FILE, HAPPENS, Family, read_moments
from hw2exp.records.run_dir import read_result
from hw2exp.records.spike import Spike
from hw2exp.train import main as train
from hw2exp.whatif.__main__ import main
from hw2exp.whatif.moments import choose_spikes, quiet_moments
from hw2exp.whatif.trial import chosen

WORDS = (
    "model=rnn", "task=easy", "model.hidden_size=8", "batch_size=8", "eval_every=50", "steps=240",
    "eval_batches=2", "plot=false", "log_every=1", "check_initial_loss=off", "checkpoint_every=0",
    "optimizer.lr=0.02",
)  # fmt: skip
ASKED = (
    "--leads", "5,10", "--follow", "20", "--start", "1,101", "--stay", "100",
    "--do", "lr*0.5", "--do", "params~1e-6", "--do", "skip=3",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("survey") / "sweep"
    assert train(["-m", *WORDS, "seed=0,1", f"hydra.sweep.dir={folder}"]) == 0
    assert any(read_result(folder / job).spikes for job in "01")
    return folder


@pytest.fixture(scope="module")
def surveyed(trained):
    assert main([str(trained), *ASKED]) == 0
    return trained


@pytest.fixture
def copy(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "copy", ignore=lambda *_: ["whatif"])


def table(run):
    return read_moments(run / "whatif" / BRANCHES_FILE, BRANCH, read_result(run))


def where(frame, **values):
    return frame.filter(*(polars.col(name) == value for name, value in values.items()))


def test_each_spike_happens_without_a_change_and_no_quiet_moment_has_one(surveyed):
    for job in "01":
        spikes = read_result(surveyed / job).spikes
        rows = table(surveyed / job)
        own = where(rows, do="nothing", moment="spike")
        assert sorted(set(own["start"])) == [each["start"] for each in spikes]
        assert own["outcome"].is_in(HAPPENS).all()
        assert not where(rows, do="nothing", moment="quiet")["outcome"].is_in(HAPPENS).any()
        assert set(own["lead"]) == ({5, 10} if spikes else set())
        for row in own.iter_rows(named=True):
            last = min(row["end"] + 20, 240)
            begun = [each for each in spikes if row["start"] - row["lead"] <= each["start"] <= last]
            assert (row["spikes"], row["steps"]) == (
                len(begun),
                last - row["start"] + row["lead"] + 1,
            )


def test_a_cure_that_stays_on_from_the_first_step_is_the_run_with_it(surveyed, tmp_path):
    assert train([*WORDS, "optimizer.lr=0.01", "steps=100", f"hydra.run.dir={tmp_path / 'x'}"]) == 0
    other = read_result(tmp_path / "x")
    rows = where(table(surveyed / "0"), moment="step")
    assert set(rows["do"]) == {"nothing", "lr*0.5"}  # the others last for no more than a step
    (row,) = where(rows, do="lr*0.5", start=1).iter_rows(named=True)
    assert (row["spikes"], row["steps"]) == (len(other.spikes), 100)
    (own,) = where(rows, do="nothing", start=101).iter_rows(named=True)
    spikes = read_result(surveyed / "0").spikes
    assert own["spikes"] == sum(101 <= each["start"] <= 200 for each in spikes)


def test_an_answered_run_is_left_as_it_is(copy, capsys):
    assert main([str(copy), *ASKED]) == 0
    before = [(copy / job / "whatif" / BRANCHES_FILE).stat() for job in "01"]
    shutil.rmtree(copy / "1" / "whatif")
    capsys.readouterr()
    assert main([str(copy), *ASKED]) == 0
    assert "1 run to survey, 1 as they are" in capsys.readouterr().out
    assert (copy / "0" / "whatif" / BRANCHES_FILE).stat().st_mtime_ns == before[0].st_mtime_ns
    assert main([str(copy), *ASKED[:-2]]) == 0
    assert "2 runs to survey" in capsys.readouterr().out


def test_a_run_that_is_not_made_again_is_left_out_with_a_line(copy, capsys):
    result = json.loads((copy / "1" / "result.json").read_text())
    result["config"]["optimizer"]["alpha"] = 0.98
    (copy / "1" / "result.json").write_text(json.dumps(result))
    assert main([str(copy), *ASKED]) == 1
    captured = capsys.readouterr()
    assert "1: left out" in captured.out
    assert "made again has a loss of" in captured.err
    assert (copy / "0" / "whatif" / BRANCHES_FILE).exists()
    assert not (copy / "1" / "whatif").exists()


def test_a_linked_folder_is_not_written_into(copy, tmp_path, capsys):
    for job in "01":
        (copy / job / "whatif").symlink_to(tmp_path)
    assert main([str(copy), *ASKED]) == 1
    assert "whatif: is a link" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [copy]


def test_spikes_that_are_not_those_of_the_losses_are_refused(copy, capsys):
    job = next(job for job in "01" if read_result(copy / job).spikes)
    result = json.loads((copy / job / "result.json").read_text())
    result["spikes"] = []
    (copy / job / "result.json").write_text(json.dumps(result))
    assert main([str(copy), *ASKED]) == 1
    assert "its spikes are not those of its losses" in capsys.readouterr().err


def test_another_dose_of_a_known_family_belongs_to_it(trained):
    fleet = Fleet([recorded_config(trained / "0", read_result(trained / "0").config)])
    dos = ["clip=norm clip.max_norm=3", "lr*0.25", "optimizer.mean_square*9", "batch_size=4"]
    found = {choice.do: choice.kind for choice in chosen(fleet, dos)[0]}
    assert [found[do] for do in dos] == [Family.NORM, Family.RATE, Family.MOMENTS, Family.OWN]


def test_an_intervention_for_one_arm_is_left_out_elsewhere(tmp_path, capsys):
    folder = tmp_path / "sweep"
    words = [*WORDS, "optimizer=sgd,rmsprop", "steps=60", f"hydra.sweep.dir={folder}"]
    assert train(["-m", *words]) == 0
    words = ["--do", "optimizer.alpha=0.9", "--start", "1", "--stay", "20"]
    capsys.readouterr()
    assert main([str(folder), *words]) == 0
    assert "left out: optimizer.alpha=0.9" in capsys.readouterr().out
    assert not (folder / "0" / "whatif").exists()
    assert set(table(folder / "1")["do"]) >= {"optimizer.alpha=0.9"}
    assert main([str(folder), "--do", "optimizer.beta=0.9"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def curve(steps, *stretches):
    losses = np.ones(steps)
    for start, end in stretches:
        losses[start - 1 : end] = 3.0
    return losses


def test_quiet_moments_are_far_from_spikes_and_at_their_stage():
    losses = curve(300, (80, 82), (200, 201))
    losses[120:] /= 2  # learned
    spikes = find_spikes(losses, 11, 0.3, 0.0, 2.0)
    assert [(each.start, each.end) for each in spikes] == [(80, 82), (200, 201)]
    for seed in range(20):
        found = quiet_moments(losses, spikes, [1, 2], 10, 11, seed)
        medians = running_median(losses[:, None], 11)[:, 0]
        for moment, spike in zip(found, spikes, strict=True):
            own = moment.spike
            assert own.end - own.start == spike.end - spike.start
            assert all(own.end + 10 < each.start or own.start - 10 > each.end for each in spikes)
            assert own.median == medians[own.start - 1] == spike.median
            assert own.start > 10


def test_quiet_moments_are_far_from_a_divergence_and_from_each_other():
    losses = np.full(160, 1.0)
    losses[59:62] = losses[79:82] = 3.0
    losses[150:] = np.nan
    spikes = find_spikes(losses, 11, 0.3, 0.0, 2.0)
    assert len(spikes) == 2
    for seed in range(100):
        stretches = [each.spike for each in quiet_moments(losses, spikes, [1, 2], 20, 11, seed)]
        assert all(each.end + 20 < 151 for each in stretches)
        starts = sorted(each.start for each in stretches)
        assert all(later - start > 2 for start, later in itertools.pairwise(starts))


def test_a_spike_at_a_stage_of_its_own_has_no_quiet_moment():
    losses = curve(100, (80, 82))
    losses[:60] = 5.0
    (spike,) = find_spikes(losses, 11, 0.3, 0.0, 2.0)
    assert quiet_moments(losses, [spike], [1], 20, 11, 0) == []


def test_of_many_spikes_a_random_choice_is_tried():
    spikes = [Spike(step, step, step, 3.0, 1.0, True) for step in range(3, 103)]
    assert choose_spikes(spikes, [5, 2], 100, 0) == list(range(1, 101))
    assert choose_spikes(spikes, [5, 4], 100, 0) == list(range(3, 101))
    chosen = [choose_spikes(spikes, [5, 2], 10, seed) for seed in range(50)]
    assert all(len(each) == 10 and each == sorted(set(each)) for each in chosen)
    assert 40 < np.mean(chosen) < 60
