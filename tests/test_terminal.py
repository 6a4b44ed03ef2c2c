"""What a person reads in the terminal can be typed."""

import shlex
from pathlib import Path

import pytest

from hw2exp.config.composed_job import parse
from hw2exp.terminal import resume_word

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
