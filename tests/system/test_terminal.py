"""What a person reads in the terminal can be typed."""

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from hw2exp.config.parsing import parse
from hw2exp.runs import summary
from hw2exp.runs.summary import resume_word, tensorboard_of_run
from hw2exp.system import terminal
from hw2exp.system.terminal import echo, live_console, on_terminal, typed
from tests.tiers import first_slow

NAMES = ["run", "2026-11-26/02-09-48", "a b", "x=1,2", "it's", 'a "b"', "$HOME", "a`b", "a\\b", "ä"]


@pytest.mark.parametrize("name", NAMES)
def test_the_word_that_resumes_a_run_means_its_folder(name, tmp_path, monkeypatch):
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
    monkeypatch.setattr(summary, "MOST_FOLDERS", 3)
    assert tensorboard_of_run(tmp_path / "my run") == "tensorboard --logdir 'my run'"


ODD_OUTPUTS = {
    "closed": ("{} >&-", {}),
    "both closed": ("{} >&- 2>&-", {}),
    "narrow": ("{} >shown", {"PYTHONIOENCODING": "latin-1"}),
    "narrow, strict ASCII": ("{} >shown", {"PYTHONIOENCODING": "ascii:strict"}),
    "colors asked for": ("{} >shown", {"FORCE_COLOR": "1"}),
    "full": ("{} >/dev/full", {}),
    "dumb and narrow": ("{} >shown", {"TERM": "dumb", "COLUMNS": "3", "FORCE_COLOR": "1"}),
}


SWEEP = "-m seed=0,1"


@pytest.mark.parametrize(
    ("name", "flags"),
    first_slow(
        ("both closed", SWEEP),
        ("dumb and narrow", ""),
        ("full", ""),
        *((name, "") for name in ODD_OUTPUTS if name not in ("dumb and narrow", "full")),
        ("dumb and narrow", SWEEP),
    ),
)
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
    echo("a → b ⚙ c")
    assert written.getvalue().decode(encoding).strip() == "a ? b ? c"


def test_where_a_program_has_closed_the_output_nothing_is_said(monkeypatch, capsys):
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    assert not on_terminal()
    echo("nobody reads this")
    with sys.stdout:
        echo("nor this")


@pytest.mark.parametrize(("term", "able"), [("xterm", True), ("dumb", False), ("unknown", False)])
def test_a_terminal_that_cant_move_its_cursor_gets_plain_lines(monkeypatch, term, able):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", term)
    assert live_console().is_terminal == able


ATTACK = "\x1b]0;title\x07\x1b[2J\r\u202e\x9b31m\udc80"


def test_no_text_from_a_file_acts_on_the_terminal(capsys):
    terminal.echo(f"first {ATTACK}\nsecond")
    terminal.echo_error(f"first {ATTACK}\nsecond")
    terminal.warn(ATTACK)
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1] == "second"
    assert captured.err.count("\n") == 2  # what should be a line is one
    for text in (captured.out, captured.err):
        assert text.replace("\n", "").isprintable()
        assert r"\x1b]0;title\x07\x1b[2J\r\u202e\x9b31m\udc80" in text
