"""What a sweep's values are: those of its words, in one order for the check and for Hydra."""

import re

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hw2exp.config.command_line import read
from hw2exp.config.parsing import count, parse
from hw2exp.sweeps import execution
from hw2exp.system.problems import ConfigError
from hw2exp.train import main

SHORT = ("steps=2", "eval_every=2", "eval_batches=1", "batch_size=4", "plot=false",
         "check_initial_loss=off", "task=easy")  # fmt: skip

LISTED = {
    "sort(range(8,30,8),reverse=true)": [24, 16, 8],
    "sort(range(30,8,-8))": [14, 22, 30],
    "sort(range(8,30,8))": [8, 16, 24],
    "sort(range(8,32,8),reverse=true)": [24, 16, 8],
    "sort(sweep=range(8,30,8),reverse=true)": [24, 16, 8],
    "sort(24,8,16)": [8, 16, 24],
    "range(8,30,8)": [8, 16, 24],
    "range(22,0,-8)": [22, 14, 6],
}


@pytest.mark.parametrize(("written", "values"), LISTED.items(), ids=LISTED)
def test_a_sweep_has_the_values_that_its_words_say(written, values):
    command = read(["-m", f"batch_size={written}"])
    assert [job.config.batch_size for job in command.jobs] == values


@pytest.mark.parametrize(
    "written", ["range(0,100,3)", "range(0,1,0.3)", "range(5,1,-2)", "range(1,4)", "range(3,1)"]
)
def test_a_range_counts_its_values(written):
    override = parse(f"seed={written}")
    assert count(override) == len(list(override.value().range()))


def test_a_sorted_range_of_fractions():
    command = read(["-m", "optimizer.lr=sort(range(0.1,1.0,0.4),reverse=true)"])
    assert [job.config.optimizer.lr for job in command.jobs] == pytest.approx([0.9, 0.5, 0.1])


def test_a_glob_takes_choices_and_no_fragments():
    command = read(["-m", "task=glob(*)", "steps=5"])
    assert [job.config.task.name for job in command.jobs] == [
        "easy", "hard", "moderate", "nightmare", "normal", "torder",
    ]  # fmt: skip
    words = read(["-m", "model=glob([*rnn],exclude=attn*)"]).words
    assert words == ["--multirun", "model=gated_rnn,rnn"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fleet", "basic"])
def test_hydra_runs_what_was_checked(tmp_path, monkeypatch, kind):
    """A shuffled sweep is drawn once, and a glob has the same choices, whoever launches it."""
    seen = []
    monkeypatch.chdir(tmp_path)
    flags = [f"hydra/launcher={kind}", f"hydra/sweeper={kind}", "hydra.sweep.dir=s"]
    words = ["-m", "seed=shuffle(range(0,4))", "model=glob([rnn,ls*])", *SHORT, *flags]
    reads = execution.execute

    def noted(command, *args, **kwargs):
        seen.extend(command.jobs)
        return reads(command, *args, **kwargs)

    monkeypatch.setattr(execution, "execute", noted)
    assert main(words) == 0
    recorded = [
        yaml.safe_load((tmp_path / f"s/{number}/.hydra/config.yaml").read_text())
        for number in range(8)
    ]
    assert [(each["seed"], each["model"]["name"]) for each in recorded] == [
        (job.config.seed, job.config.model.name) for job in seen
    ]
    assert sorted({job.config.seed for job in seen}) == [0, 1, 2, 3]


FROM_FILES = {
    "shuffle(1,2,3)": {1, 2, 3},
    "sort(range(8,30,8),reverse=true)": [24, 16, 8],
    "linspace(0,6,3)": [0, 3, 6],
}


@pytest.mark.slow
@pytest.mark.parametrize(("written", "values"), FROM_FILES.items(), ids=FROM_FILES)
def test_a_sweep_that_a_file_describes_runs_what_was_checked(
    tmp_path, monkeypatch, written, values
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own/experiment").mkdir(parents=True)
    params = yaml.safe_dump({"hydra": {"sweeper": {"params": {"seed": written}}}})
    (tmp_path / "own/experiment/x.yaml").write_text(f"# @package _global_\n{params}")
    words = ["-m", "--config-dir=own", "experiment=x", "hydra.sweep.dir=s", *SHORT]
    checked = []
    reads = execution.execute

    def noted(command, *args, **kwargs):
        checked.extend(job.config.seed for job in command.jobs)
        return reads(command, *args, **kwargs)

    monkeypatch.setattr(execution, "execute", noted)
    assert main(words) == 0
    ran = [
        yaml.safe_load((tmp_path / f"s/{number}/.hydra/config.yaml").read_text())["seed"]
        for number in range(len(values))
    ]
    assert ran == checked
    assert (set(ran) if isinstance(values, set) else ran) == values


SPACED = {
    "linspace(0,1,5)": [0, 0.25, 0.5, 0.75, 1],
    "linspace(1,0,3)": [1, 0.5, 0],
    "logspace(1e-2,100,5)": [0.01, 0.1, 1, 10, 100],
    "logspace(8,1,4)": [8, 4, 2, 1],
    "logspace(start=1,stop=3,count=3)": [1, 1.73205080757, 3],
    "sort(logspace(8,1,4))": [1, 2, 4, 8],
}


@pytest.mark.parametrize(("written", "values"), SPACED.items(), ids=SPACED)
def test_spaced_values(written, values):
    command = read(["-m", f"init.scale={written}"])
    assert [job.config.init.scale for job in command.jobs] == values


@given(
    st.floats(1e-12, 1e12), st.floats(1e-12, 1e12), st.integers(2, 300),
)  # fmt: skip
def test_logspace_agrees_with_numpy(start, stop, count):
    values = parse(f"init.scale=logspace({start!r},{stop!r},{count})").value().list
    assert values == pytest.approx(np.geomspace(start, stop, count), rel=1e-11)
    assert (values[0], values[-1]) == (start, stop)


def test_large_integers_are_spaced_exactly():
    first = 9007199254740993
    values = parse(f"seed=linspace({first},{first + 4},3)").value().list
    assert values == [first, first + 2, first + 4]


def test_a_typed_value_counts_instead_of_a_files_sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own/experiment").mkdir(parents=True)
    params = {"seed": "linspace(0,4,3)", "optimizer.lr": "logspace(0.01,0.1,3)"}
    text = yaml.safe_dump({"hydra": {"sweeper": {"params": params}}})
    (tmp_path / "own/experiment/x.yaml").write_text(f"# @package _global_\n{text}")
    words = ["-m", "--config-dir=own", "experiment=x", "seed=7", *SHORT]
    for records in ("packed", "folders"):
        command = read([*words, f"records={records}"])
        assert len(command.grid or command.jobs) == 3
        assert {job.config.seed for job in command.jobs} == {7}
    assert main([*words, "hydra.sweep.dir=s"]) == 0
    recorded = [
        yaml.safe_load((tmp_path / f"s/{n}/.hydra/config.yaml").read_text()) for n in range(3)
    ]
    assert [each["seed"] for each in recorded] == [7, 7, 7]
    assert not (tmp_path / "s/3").exists()


def test_the_order_of_a_choice_and_a_key_below_it_does_not_matter():
    words = ["-m", "records=packed", "hydra.sweep.dir=s", "seed=0,1"]
    for order in (
        ["optimizer.lr=0.1,0.2", "optimizer=sgd"],
        ["optimizer=sgd", "optimizer.lr=0.1,0.2"],
    ):
        grid = read([*words, *order]).grid
        assert len(grid.templates) == 1
        assert [grid.job(n).config.optimizer.lr for n in range(4)] in (
            [0.1, 0.2] * 2,
            [0.1, 0.1, 0.2, 0.2],
        )
        assert {grid.job(n).config.optimizer.name for n in range(4)} == {"sgd"}


def test_spaced_integers_are_integers():
    command = read(["-m", "model.hidden_size=logspace(4,32,4)", "batch_size=linspace(8,32,4)"])
    assert [job.config.model.hidden_size for job in command.jobs[::4]] == [4, 8, 16, 32]
    assert [job.config.batch_size for job in command.jobs[:4]] == [8, 16, 24, 32]


WRONG = {
    "seed=logspace(0,1,3)": "its ends must be positive",
    "seed=linspace(1,2,1)": "lists 1 values; must be 2 to ",
    "seed=linspace(1,inf,3)": "its ends must be finite",
    "seed=linspace(1,2)": "missing a required argument: 'count'",
    "seed=linspace(1,2,2000000)": "lists 2000000 values; must be 2 to ",
    "seed=linspace(0,1,3)": "must be an integer",
    "seed=3,linspace(0,2,3)": "a function that lists values stands alone, not among others",
    "optimizer.lr=[logspace(0.1,1,3)]": "a function that lists values stands alone",
    "optimizer={lr:linspace(1,2,3)}": "a function that lists values stands alone",
    "seed=3,range(0,2)": "a function that lists values stands alone, not among others",
}


@pytest.mark.parametrize(("word", "why"), WRONG.items(), ids=WRONG)
def test_spaced_values_that_are_none(word, why):
    with pytest.raises(ConfigError, match=re.escape(why)):
        read(["-m", word])
