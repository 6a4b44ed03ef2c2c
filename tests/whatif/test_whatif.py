"""What would have prevented a spike: the command, its page, and worlds whose answer is known."""

import json
import shutil

import numpy as np
import polars
import pytest

from hw2exp.config import groups, registry
from hw2exp.config.registry import register
from hw2exp.fleet.fleet import Fleet
from hw2exp.optim.schedules.protocol import Schedule
from hw2exp.records.metrics import read_metrics
from hw2exp.records.run_dir import read_result
from hw2exp.runs.spike_request import read_request
from hw2exp.tasks.task import TRAIN
from hw2exp.train import main as train
from hw2exp.whatif import trial
from hw2exp.whatif.__main__ import main
from hw2exp.whatif.trial import try_all

SMALL = (
    "model=rnn", "task=easy", "model.hidden_size=8", "batch_size=8", "eval_every=50",
    "eval_batches=2", "plot=false", "log_every=1", "check_initial_loss=off", "checkpoint_every=0",
)  # fmt: skip
LEADS = 50, 20, 10, 5, 2, 1
SPIKES = "optimizer.lr=0.02", "steps=200"  # as a run does by itself, at step 120


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that spikes."""
    folder = tmp_path_factory.mktemp("whatif") / "run"
    assert train([*SMALL, *SPIKES, f"hydra.run.dir={folder}"]) == 0
    assert len(read_result(folder).spikes) == 1
    return folder


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copy", ignore=lambda *_: ["whatif"])


def line(capsys):
    (only,) = capsys.readouterr().err.splitlines()
    return only


def outcomes(folder, *dos, following=20):
    """What became of a run's first spike, by intervention, a set over all leads."""
    tried = try_all(read_request(folder, "1", None), dos, LEADS, following, print)
    found = {}
    for fates in tried.fates.values():
        for choice, fate in zip(tried.choices, fates, strict=True):
            found.setdefault(choice.do, set()).add(str(fate.outcome))
    return found


@pytest.mark.slow
def test_the_page_and_its_numbers(run, capsys):
    assert main([str(run), "--follow", "30"]) == 0
    printed = capsys.readouterr().out
    assert "(no change) " in printed
    assert "happens from 50, 20, 10, 5, 2, 1" in printed
    target = run / "whatif"
    page = (target / "spike_1.html").read_text()
    assert "update=1" in page
    numbers = json.loads((target / "spike_1.json").read_text())
    spike = read_result(run).spikes[0]
    assert (numbers["start"], numbers["last"]) == (spike["start"], spike["end"] + 30)
    rows = {(row["do"], row["lead"]): row for row in numbers["branches"]}
    itself = rows["nothing", 10]
    assert (itself["outcome"], itself["peak"]) == ("happens", spike["loss"])
    losses = polars.read_parquet(target / "spike_1.parquet")
    recorded = dict(read_metrics(run / "metrics.parquet").select("step", "loss_train").rows())
    own = losses.filter(polars.col("do") == "nothing")
    assert set(own["lead"]) == {50, 20, 10, 5, 2, 1}
    assert all(recorded[step] == loss for step, loss in own.select("step", "loss").rows())


def test_without_the_usual_lead_the_picture_shows_another(run, tmp_path):
    words = ["--leads", "20", "--do", "lr*0.5", "--out", str(tmp_path / "x")]
    assert main([str(run), "--follow", "5", *words]) == 0


@pytest.mark.nightly
def test_ones_own_interventions_come_with_placebos(run, tmp_path):
    words = ["--do", "clip=norm clip.max_norm=0.5", "--do", "lr*0.5", "--out", str(tmp_path / "x")]
    assert main([str(run), "--follow", "5", *words]) == 0
    numbers = json.loads((tmp_path / "x/spike_1.json").read_text())
    dos = list(dict.fromkeys(row["do"] for row in numbers["branches"]))
    assert dos[:3] == ["nothing", "clip=norm clip.max_norm=0.5", "lr*0.5"]
    assert dos[3:] == [f"params~1e-{power}" for power in (6, 5, 4, 3, 2)]
    first = {path.name: path.read_bytes() for path in (tmp_path / "x").iterdir()}
    assert main([str(run), "--follow", "5", *words]) == 0
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "x").iterdir()}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--spike", "2"], "--spike=2: must be from 1 to 1"),
        (["--spike", "divergence"], "has not diverged"),
        (["--follow", "-1"], "--follow=-1: must be from 0 to 100000"),
        (["--leads", "5,0"], "--leads=5,0: must be whole numbers from 1 to 100000"),
        (["--spike", "all", "--stay", "0"], "--stay=0: must be from 1 to 100000"),
        (["--leads", "9" * 5000], "must be whole numbers from 1 to 100000"),
        (["--leads", "500"], "--leads: must be less than "),
        (["--most", "5"], "--most: must be left out with one spike"),
        (["--spike", "all", "--out", "x"], "--out: must be left out with all spikes"),
        (["--spike", "all", "--do", "lr*x"], "--do: lr*x: must end with a finite number"),
        (["--do", "data=1 data=2"], "seed comes twice"),
        (["--do", "clip=nrom"], "--do: clip=nrom: no such choice; did you mean norm?"),
        (["--do", "lr*0.5", "--do", "loss*2"], "--do: loss*2: no such number or state"),
        (["--do", "steps=9"], "--do: steps=9: can't change in the middle of a run"),
    ],
)
def test_bad_input_is_a_line_and_creates_nothing(copy, capsys, words, problem):
    assert main([str(copy), *words]) == 2
    captured = capsys.readouterr()
    assert problem in captured.err
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert not (copy / "whatif").exists()


def test_no_run_and_a_linked_folder(copy, tmp_path, capsys):
    assert main([str(tmp_path / "none")]) == 2
    assert "must be the folder of a run" in line(capsys)
    (copy / "whatif").symlink_to(tmp_path)
    assert main([str(copy)]) == 2
    assert "is a link" in line(capsys)


def test_steps_that_are_not_the_runs_are_refused(copy, capsys):
    result = json.loads((copy / "result.json").read_text())
    result["config"]["optimizer"]["alpha"] = 0.98
    (copy / "result.json").write_text(json.dumps(result))
    assert main([str(copy)]) == 2
    assert "made again has a loss of" in line(capsys)
    assert not (copy / "whatif").exists()


def test_a_branch_that_is_not_the_run_is_refused_with_its_step(copy, capsys, monkeypatch):
    def follow(*arguments):
        branches = real(*arguments)
        branches.losses[3, 0] = np.nextafter(branches.losses[3, 0], 9)
        return branches

    real = trial.follow
    monkeypatch.setattr(trial, "follow", follow)
    assert main([str(copy)]) == 2
    first = read_result(copy).spikes[0]["start"] - 50
    assert f"without an intervention, step {first + 3} has a loss of" in line(capsys)
    assert not (copy / "whatif").exists()


BURST, HARD = 140, 90


class Burst(Schedule):
    """A learning rate that is a thousand times as high in one step."""

    def at(self, updates, state):
        return state["one"] * (1000.0 if updates + 1 == BURST else 1.0)


@pytest.fixture
def burst():
    register("schedule", "burst", groups.Schedule)(Burst)
    yield
    del registry._SECTIONS["schedule"]["burst"]
    del registry._EQUATIONS["schedule", "burst"]
    del registry.ADDED_CHOICES["schedule", "burst"]


def test_in_a_world_of_one_cause_what_removes_it_prevents(burst, tmp_path):
    """The spike comes from one step of SGD, a thousand times too far: no other has one."""
    folder = tmp_path / "run"
    words = (
        "optimizer=sgd",
        "optimizer.momentum=0",
        "steps=180",
        "schedule=burst",
        "spikes.margin=2",
    )
    assert train([*SMALL, *words, f"hydra.run.dir={folder}"]) == 0
    (spike,) = read_result(folder).spikes
    assert spike["start"] == BURST + 1
    cures = "schedule=constant", "lr*1e-3", "clip=norm clip.max_norm=1e-4"
    others = "clip=norm clip.max_norm=1e9", "lr*0.9", "data=7", "skip=100", "data=7 around=2"
    found = outcomes(folder, *cures, *others)
    assert {do: found[do] for do in cures} == {do: {"prevented"} for do in cures}
    for do in ("nothing", *others, "params~1e-6", "params~1e-3"):
        assert found[do] <= {"happens", "worse"}, do


@pytest.mark.slow
def test_in_a_world_where_nothing_helps_nothing_prevents(tmp_path, monkeypatch):
    """The labels of one step are wrong, whatever the parameters and the data."""

    def batch(fleet, step, stream, size):
        symbols, labels = real(fleet, step, stream, size)
        return symbols, (labels + 1) % 4 if (step, stream) == (HARD, TRAIN) else labels

    real = Fleet.batch
    monkeypatch.setattr(Fleet, "batch", batch)
    folder = tmp_path / "run"
    words = "closed_form=false", f"steps={HARD + 2}", "optimizer.lr=0.01"
    assert train([*SMALL, *words, f"hydra.run.dir={folder}"]) == 0
    number = next(
        place for place, each in enumerate(read_result(folder).spikes, 1) if each["step"] == HARD
    )
    assert number == 1
    dos = "clip=norm clip.max_norm=0.1", "lr*0.5", "seed=7", "skip=100", "optimizer.mean_square*4"
    found = outcomes(folder, *dos, following=2)
    assert all(each <= {"happens", "worse"} for each in found.values()), found
