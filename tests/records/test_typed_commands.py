"""The commands that started runs, as a page shows them."""

import json

import pytest

from hw2exp.config.parsing import parse, written_out
from hw2exp.records.typed_commands import commands


def write_sweep(folder, *words):
    folder.mkdir()
    task = json.dumps(words or ["clip=none,mine", "seed=0"])
    (folder / "multirun.yaml").write_text(f"hydra: {{overrides: {{task: {task}}}}}")


def test_a_sweep_imports_the_modules_of_all_of_its_runs(tmp_path):
    write_sweep(tmp_path / "s")
    runs = [(tmp_path / "s/0", {}), (tmp_path / "s/1", {"modules": "mine; others"})]
    (line,) = commands(runs)
    assert line == (
        "python -m hw2exp.train --import 'mine;' --import others -m clip=none,mine seed=0"
    )


@pytest.mark.parametrize("word", ["logspace(0.01,30,256)", "linspace(0.5,1.5,11)"])
def test_spaced_values_are_shown_as_they_were_typed(tmp_path, word):
    written = str(written_out(parse(f"optimizer.lr={word}"), []).input_line)
    write_sweep(tmp_path / "s", written, "seed=0,1")
    (line,) = commands([(tmp_path / "s/0", {})])
    assert line == f"python -m hw2exp.train -m 'optimizer.lr={word}' seed=0,1"


@pytest.mark.parametrize(
    "word",
    ["clip.max_norm=0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.9", "seed=1,2,3,4,5,6,7,8,9", "x=0.5,,,,,,,["],
)
def test_other_values_are_shown_one_by_one(tmp_path, word):
    write_sweep(tmp_path / "s", word)
    (line,) = commands([(tmp_path / "s/0", {})])
    assert line.replace("'", "") == f"python -m hw2exp.train -m {word}"
