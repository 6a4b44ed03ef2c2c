"""What a sweep's values are: those of its words, in one order for the check and for Hydra."""

import pytest
import yaml

from hw2exp.config.command_line import read
from hw2exp.sweeps import execution
from hw2exp.train import main

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


@pytest.mark.parametrize("kind", ["fleet", "basic"])
def test_hydra_runs_what_was_checked(tmp_path, monkeypatch, kind):
    """A shuffled sweep is drawn once, and a glob has the same choices, whoever launches it."""
    seen = []
    monkeypatch.chdir(tmp_path)
    short = ["steps=2", "eval_every=2", "eval_batches=1", "batch_size=4", "plot=false",
             "check_initial_loss=off", "task=easy"]  # fmt: skip
    flags = [f"hydra/launcher={kind}", f"hydra/sweeper={kind}", "hydra.sweep.dir=s"]
    words = ["-m", "seed=shuffle(range(0,4))", "model=glob([rnn,l*])", *short, *flags]
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


@pytest.mark.parametrize("values", ["shuffle(1,2,3)", "sort(range(8,30,8),reverse=true)"])
def test_a_sweep_that_a_file_describes_lists_its_values(tmp_path, monkeypatch, capsys, values):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own/experiment").mkdir(parents=True)
    params = yaml.safe_dump({"hydra": {"sweeper": {"params": {"seed": values}}}})
    (tmp_path / "own/experiment/x.yaml").write_text(f"# @package _global_\n{params}")
    assert main(["-m", "--config-dir=own", "experiment=x"]) == 2
    error = capsys.readouterr().err
    assert error == (
        f"hw2exp: hydra.sweeper.params.seed={values}: must list its values, "
        "without sort, shuffle or glob\n"
    )
