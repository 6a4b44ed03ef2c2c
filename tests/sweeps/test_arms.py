import io
import shlex
from itertools import product
from types import SimpleNamespace

import pytest
from rich.console import Console

from hw2exp.config.command_line import read
from hw2exp.records.run_dir import RunResult
from hw2exp.sweeps.arms import SHOWN, arms_of, arms_table, print_sweep, summary
from hw2exp.sweeps.job_outcome import JobOutcome
from hw2exp.system.problems import ConfigError


def result(loss, diverged_at=None, solved_at=None, spikes=0, ends_solved=False):
    return RunResult(
        status="diverged" if diverged_at else "finished",
        step=10,
        diverged_at=diverged_at,
        solved_at=solved_at,
        initial={"loss": 1.39, "accuracy": 0.25},
        final={"train_loss": loss, "test_loss": loss, "test_accuracy": 0.5},
        spikes=[{}] * spikes,
        parameters_sha256="",
        metrics_sha256="",
        seconds=1.0,
        versions={},
        ends_solved=ends_solved,
    )


def places(jobs):
    return {arm.name: [jobs.index(job) for job in arm.jobs] for arm in arms_of(jobs)}


def test_an_arm_is_everything_but_the_seed(job):
    jobs = [
        job("task=easy", clip, f"seed={seed}")
        for clip in ("clip=none", "clip=norm")
        for seed in (0, 1)
    ]
    assert places(jobs) == {"clip=none": [0, 1], "clip=norm": [2, 3]}
    assert places([job("++seed=0"), job("seed=1")]) == {"all": [0, 1]}
    assert places([job("seed=0"), job("seed=1")]) == {"all": [0, 1]}


def test_the_config_decides_not_the_words():
    """Other words for a value, and how a run is shown, make no arm of their own."""
    words = "clip=none,norm", "optimizer.lr=1e-3,0.001", "log_every=5,10", "seed=1,2"
    jobs = [JobOutcome(each, None) for each in read(["-m", *words]).jobs]
    assert places(jobs) == {"clip=none": [*range(8)], "clip=norm": [*range(8, 16)]}


def test_counts_medians_and_quartiles(job):
    outcomes = [
        result(0.1, solved_at=5, spikes=3),
        result(0.2, solved_at=6, ends_solved=True, spikes=4),
        result(0.3, spikes=5),
        result(None, diverged_at=1),
        ValueError("lost"),
    ]
    words = [("clip=none", f"seed={seed}") for seed in range(4)] + [("clip=norm", "seed=0")]
    jobs = [job(*own, outcome=each) for own, each in zip(words, outcomes, strict=True)]
    text = io.StringIO()
    Console(file=text, width=120).print(arms_table(arms_of(jobs), 120))
    none, norm = (line.split("  ") for line in text.getvalue().splitlines()[1:])
    assert [cell.strip() for cell in none if cell.strip()] == [
        "clip=none", "4", "2", "1", "1", "0", "0.25 [0.1, 0.3]", "0.5 [0, 0.5]", "3.5 [0, 4]",
    ]  # fmt: skip
    assert [cell.strip() for cell in norm if cell.strip()] == [
        "clip=norm", "1", "0", "0", "0", "1", "–", "–", "–",
    ]  # fmt: skip


def test_what_diverged_counts_as_the_worst(job):
    outcomes = result(1.3, diverged_at=7), result(None, diverged_at=1)
    jobs = [job(f"seed={seed}", outcome=each) for seed, each in enumerate(outcomes)]
    text = io.StringIO()
    Console(file=text, width=120).print(arms_table(arms_of(jobs), 120))
    assert text.getvalue().splitlines()[1].split() == ["all", "2", "0", "0", "2", "∞", "0", "0"]


def test_what_an_older_result_does_not_say_is_not_counted():
    old = [result(0.1, solved_at=5), result(0.1, solved_at=5, ends_solved=None)]
    assert summary(old, quartiles=False)["ends solved"] == "–"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_arm_loses_its_name_in_a_narrow_terminal(width, job):
    words = product(("clip=none", "clip=norm"), ("optimizer=rmsprop", "optimizer=sgd"), range(3))
    jobs = [
        job(clip, optimizer, f"seed={seed}", outcome=result(0.123 * n, spikes=10 * n))
        for n, (clip, optimizer, seed) in enumerate(words)
    ]
    text = io.StringIO()
    Console(file=text, width=width).print(arms_table(arms_of(jobs), width))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    words = "solved", "clip=norm", "optimizer=", "rmsprop", "test loss", "accuracy", "spikes"
    for word in words:
        assert word in text.getvalue()
    assert ("ends solved" if width >= 100 else "end ") in text.getvalue()


@pytest.mark.parametrize(
    ("jobs", "served"),
    [
        ([("clip=none", "seed=0"), ("clip=none", "seed=1"), ("clip=norm", "seed=0")], "arms"),
        ([("clip=none",), ("clip=norm",)], ""),  # no arm has two runs, so none is written
    ],
)
def test_a_sweep_says_how_tensorboard_shows_its_arms(
    jobs, served, job, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    print_sweep([job(*words, outcome=result(1.3)) for words in jobs], tmp_path / "my sweep")
    lines = capsys.readouterr().out.splitlines()
    command = next(line for line in lines if line.startswith("  or run "))
    assert shlex.split(command)[-1].rstrip("/") == f"my sweep/{served}".rstrip("/")


def test_a_sweep_of_many_arms_says_how_to_type_its_report(job, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    jobs = [job(f"optimizer.lr={rate}", outcome=result(1.3)) for rate in range(1, SHOWN + 2)]
    print_sweep(jobs, tmp_path / "my sweep")
    first = capsys.readouterr().out.splitlines()[0]
    assert first.endswith("python -m hw2exp.report 'my sweep'")


@pytest.mark.parametrize(("every", "told"), [(500, 1), (100, 0)])
def test_a_sweep_says_that_its_tests_are_too_few(compose, every, told, tmp_path, capsys):
    def ran(clip, outcome):
        words = ["steps=600", f"eval_every={every}", f"clip={clip}"]
        own = SimpleNamespace(overrides=words, config=compose(*words))
        return JobOutcome(own, outcome)

    jobs = [ran("none", result(1.3)), ran("norm", result(1.3)), ran("value", ValueError("lost"))]
    print_sweep(jobs, tmp_path)
    line = "solved    no: that takes 3 tests in a row, and a run makes 2; make eval_every smaller"
    assert capsys.readouterr().out.count(line) == told


def test_jobs_with_invalid_values_are_told_apart_by_their_overrides():
    class Refused:
        def __init__(self, *overrides):
            self.overrides = overrides

        @property
        def config(self):
            raise ConfigError(["optimizer.lr=-1: must be greater than 0"])

    words = [("optimizer.lr=-1", "seed=1"), ("optimizer.lr=-1", "seed=2"), ("optimizer.lr=-2",)]
    jobs = [JobOutcome(Refused(*own), ConfigError(["refused"])) for own in words]
    assert places(jobs) == {"optimizer.lr=-1": [0, 1], "optimizer.lr=-2": [2]}
