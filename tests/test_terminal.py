"""What a person reads in the terminal can be typed."""

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hw2exp.config.composed_job import parse
from hw2exp.terminal import live_console, on_terminal, resume_word, say

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


ODD_OUTPUTS = {
    "closed": ("{} >&-", {}),
    "both closed": ("{} >&- 2>&-", {}),
    "narrow": ("{} >shown", {"PYTHONIOENCODING": "latin-1"}),
    "narrow, strict ASCII": ("{} >shown", {"PYTHONIOENCODING": "ascii:strict"}),
    "colors asked for": ("{} >shown", {"FORCE_COLOR": "1"}),
    "full": ("{} >/dev/full", {}),
    "dumb and narrow": ("{} >shown", {"TERM": "dumb", "COLUMNS": "3", "FORCE_COLOR": "1"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD_OUTPUTS)
@pytest.mark.parametrize("flags", ["", "-m seed=0,1"])
def test_whatever_the_output_is_the_results_are_there(tmp_path, name, flags):
    shell, settings = ODD_OUTPUTS[name]
    words = "model=rnn task=easy steps=2 eval_every=2 eval_batches=1 plot=false"
    command = shell.format(f"{sys.executable} -m hw2exp.train {words} {flags}")
    environment = {**os.environ, **settings}
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, timeout=200)
    assert done.returncode == 0
    assert len(list(tmp_path.rglob("result.json"))) == (2 if flags else 1)
    if (tmp_path / "shown").exists():
        shown = (tmp_path / "shown").read_bytes()
        assert b"\x1b" not in shown
        assert b"finished" in shown or b"solved" in shown


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
def test_what_an_encoding_lacks_is_replaced(monkeypatch, encoding):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    say("a → b ⚙ c")
    assert written.getvalue().decode(encoding).strip() == "a ? b ? c"


def test_where_a_program_has_closed_the_output_nothing_is_said(monkeypatch, capsys):
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    assert not on_terminal()
    say("nobody reads this")
    with sys.stdout:
        say("nor this")


@pytest.mark.parametrize(("term", "able"), [("xterm", True), ("dumb", False), ("unknown", False)])
def test_a_terminal_that_cant_move_its_cursor_gets_plain_lines(monkeypatch, term, able):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", term)
    assert live_console().is_terminal == able
