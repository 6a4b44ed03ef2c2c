"""What the README shows is what happens."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hw2exp.config.help import _choices, group_names
from hw2exp.diagnostics.spikes import GAP, first_watched
from hw2exp.records.run_dir import read_result
from hw2exp.tasks.temporal_order import TemporalOrder, encode

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def block(language, containing):
    blocks = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    (found,) = (text for text in blocks if containing in text)
    return found


def run(*arguments, cwd):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_the_definition_of_a_spike_is_that_of_the_code(compose):
    spikes = compose().spikes
    text = " ".join(README[README.index("A **spike** is") :][:600].split())
    assert f"the median of the {spikes.window} steps before by more than the margin" in text
    assert f"the larger of {spikes.margin:g} and six robust standard deviations" in text
    assert spikes.deviations == 6
    assert f"Runs with at most {GAP} steps between them are one spike" in text
    first = first_watched(spikes.window)
    assert f"can begin one is the {first}th: the median needs {first - 1}." in text


def test_a_cell_of_ones_own_in_30_lines(tmp_path):
    source = block("python", "@register_cell")
    assert len(source.splitlines()) <= 30
    (tmp_path / "leaky_rnn.py").write_text(source, encoding="utf-8")
    short = ["task=easy", "steps=60", "eval_every=20", "eval_batches=2", "plot=false"]
    done = run("leaky_rnn.py", "model=leaky_rnn", *short, "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = read_result(tmp_path / "run")
    assert result.initial["loss"] == pytest.approx(1.386, abs=0.05)
    assert result.final["train_loss"] < result.initial["loss"]
    own = "model=leaky_rnn"
    more = [["--help"], [own, "model.lags=2"], [own, "norm=batch", *short]]
    program = f"import leaky_rnn; print(*[leaky_rnn.main(words) for words in {more}])"
    told = run("-c", program, cwd=tmp_path)
    assert "leaky_rnn" in told.stdout
    assert told.stdout.endswith("\n0 2 2\n"), told.stderr
    assert "norm=batch: model=leaky_rnn names no terms" in told.stderr


@pytest.mark.slow
def test_a_cell_of_ones_own_in_a_sweep(tmp_path):
    (tmp_path / "leaky_rnn.py").write_text(block("python", "@register_cell"), encoding="utf-8")
    short = ["task=easy", "steps=20", "eval_every=20", "eval_batches=2", "plot=false"]
    sweep = ["-m", "model=leaky_rnn", "seed=0,1", "hydra.sweep.dir=sweep", *short]
    done = run("leaky_rnn.py", *sweep, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {read_result(tmp_path / "sweep" / job).status for job in "01"} == {"finished"}


@pytest.mark.slow
def test_the_example_of_use_from_python(tmp_path):
    (tmp_path / "example.py").write_text(block("python", "hw2exp.sweep("), encoding="utf-8")
    done = run("example.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "finished" in done.stdout
    assert "parameters_sha256" in done.stdout
    assert len(list(tmp_path.rglob("result.json"))) == 1 + 16


def test_the_table_of_groups_is_the_schemas():
    for group in group_names():
        (line,) = (line for line in README.splitlines() if line.startswith(f"| `{group}` |"))
        named = re.findall(r"`([a-z0-9_]+)`", line.split("|")[2])
        assert named == list(_choices(group)), group


def test_the_sequence_shown_is_read_and_written_so():
    assert "BXaYbE → R" in README
    order = TemporalOrder((6, 7), (1, 2), (3, 4))
    assert order.text(*encode("BXaYbE")) == "BXaYbE → R"


def test_every_command_shown_is_accepted(compose):
    from hw2exp.config.command_line import read

    text = README.replace("\\\n", " ")
    lines = re.findall(r"python -m hw2exp\.train ([^`\n#]+)", text)
    assert len(lines) >= 5
    import shlex

    for line in lines:
        shown = ("--help", "--dry-run", "resume=")  # the last needs a run that is there
        arguments = [word for word in shlex.split(line) if not word.startswith(shown)]
        assert read(arguments).jobs


def test_every_part_shown_is_one_of_the_write_ups():
    from hw2exp.theory.__main__ import _parser
    from hw2exp.theory.sheet import select

    lines = re.findall(r"python -m hw2exp\.theory([^`\n#]*)", README)
    assert len(lines) >= 4
    for line in lines:
        assert select(_parser().parse_args(line.split()).part)


def test_every_comparison_shown_is_accepted():
    from hw2exp.compare.__main__ import _parser

    lines = re.findall(r"python -m hw2exp\.compare ([^`\n#]*)", README)
    assert lines
    for line in lines:
        assert len(_parser().parse_args(line.split()).folders) >= 2
