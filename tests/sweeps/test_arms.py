import io
import shlex

import pytest
from rich.console import Console

from hw2exp.records.run_dir import RunResult
from hw2exp.sweeps.arms import SHOWN, arms_of, arms_table, print_sweep, summary


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


def test_an_arm_is_everything_but_the_seed():
    jobs = [("task=easy", clip, f"seed={s}") for clip in ("clip=none", "clip=norm") for s in (0, 1)]
    assert arms_of(jobs) == {"clip=none": [0, 1], "clip=norm": [2, 3]}
    assert arms_of([("++seed=0",), ("seed=1",)]) == {"all": [0, 1]}
    assert arms_of([("seed=0",), ("seed=1",)]) == {"all": [0, 1]}


def test_counts_medians_and_quartiles():
    jobs = [("clip=none", f"seed={s}") for s in range(4)] + [("clip=norm", "seed=0")]
    outcomes = [
        result(0.1, solved_at=5, spikes=3),
        result(0.2, solved_at=6, ends_solved=True, spikes=4),
        result(0.3, spikes=5),
        result(None, diverged_at=1),
        ValueError("lost"),
    ]
    text = io.StringIO()
    Console(file=text, width=120).print(arms_table(jobs, outcomes, 120))
    none, norm = (line.split("  ") for line in text.getvalue().splitlines()[1:])
    assert [cell.strip() for cell in none if cell.strip()] == [
        "clip=none", "4", "2", "1", "1", "0", "0.25 [0.1, 0.3]", "0.5 [0, 0.5]", "3.5 [0, 4]",
    ]  # fmt: skip
    assert [cell.strip() for cell in norm if cell.strip()] == [
        "clip=norm", "1", "0", "0", "0", "1", "–", "–", "–",
    ]  # fmt: skip


def test_what_diverged_counts_as_the_worst():
    jobs = [("clip=none", "seed=0"), ("clip=none", "seed=1")]
    text = io.StringIO()
    table = arms_table(jobs, [result(1.3, diverged_at=7), result(None, diverged_at=1)], 120)
    Console(file=text, width=120).print(table)
    assert text.getvalue().splitlines()[1].split() == ["all", "2", "0", "0", "2", "inf", "0", "0"]


def test_what_an_older_result_does_not_say_is_not_counted():
    old = [result(0.1, solved_at=5), result(0.1, solved_at=5, ends_solved=None)]
    assert summary(old, quartiles=False)["ends solved"] == "–"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_arm_loses_its_name_in_a_narrow_terminal(width):
    jobs = [
        (f"clip={clip}", f"optimizer={optimizer}", f"seed={seed}")
        for clip in ("none", "norm")
        for optimizer in ("rmsprop", "sgd")
        for seed in range(3)
    ]
    outcomes = [result(0.123 * n, spikes=10 * n) for n in range(len(jobs))]
    text = io.StringIO()
    Console(file=text, width=width).print(arms_table(jobs, outcomes, width))
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
def test_a_sweep_says_how_tensorboard_shows_its_arms(jobs, served, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    print_sweep(jobs, [result(1.3)] * len(jobs), tmp_path / "my sweep")
    lines = capsys.readouterr().out.splitlines()
    command = next(line for line in lines if line.startswith("  or run "))
    assert shlex.split(command)[-1].rstrip("/") == f"my sweep/{served}".rstrip("/")


def test_a_sweep_of_many_arms_says_how_to_type_its_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    jobs = [(f"optimizer.lr={rate}",) for rate in range(1, SHOWN + 2)]
    print_sweep(jobs, [result(1.3)] * len(jobs), tmp_path / "my sweep")
    first = capsys.readouterr().out.splitlines()[0]
    assert first.endswith("python -m hw2exp.report 'my sweep'")
