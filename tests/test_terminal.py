"""What a person reads in the terminal can be typed."""

import os
import re
import shlex
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from hw2exp import terminal
from hw2exp.config.composed_job import parse
from hw2exp.terminal import resume_word, tensorboard_of_run, typed

NAMES = ["run", "2026-11-26/02-09-48", "a b", "x=1,2", "it's", 'a "b"', "$HOME", "a`b", "a\\b", "ä"]


@pytest.mark.parametrize("name", NAMES)
def test_the_word_that_lets_a_run_go_on_means_its_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / name, Path("/elsewhere") / name):
        (word,) = shlex.split(resume_word(folder))
        override = parse(word)
        assert override.key_or_group == "resume"
        assert (tmp_path / str(override.value())).resolve() == folder.resolve()


def test_the_current_folder_is_written_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resume_word(tmp_path) == f"resume={tmp_path}"


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_is_typed_as_one_word(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / name, Path("/elsewhere") / name):
        (word,) = shlex.split(typed(folder))
        assert (tmp_path / word).resolve() == folder.resolve()


@pytest.mark.parametrize("name", [*NAMES, "a+b", "(1)"])
def test_tensorboard_shows_a_run_by_its_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "of today" / name
    run.mkdir(parents=True)
    command, address = tensorboard_of_run(run).split(" and open ")
    *words, above = shlex.split(command)
    assert words == ["tensorboard", "--logdir"]
    shown = parse_qs(urlsplit(address).query)["runFilter"][0]
    assert re.search(shown, os.path.relpath(run, above))
    assert not re.search(shown, f"{name}2")


def test_a_run_among_more_than_tensorboard_reads_in_time_is_served_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        (tmp_path / f"my run/{number}").mkdir(parents=True)
    assert tensorboard_of_run(tmp_path / "my run").startswith("tensorboard --logdir .\n")
    monkeypatch.setattr(terminal, "MOST_FOLDERS", 3)
    assert tensorboard_of_run(tmp_path / "my run") == "tensorboard --logdir 'my run'"
