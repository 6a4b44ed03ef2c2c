import errno
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from hw2exp.system import disk
from hw2exp.system.problems import ConfigError
from hw2exp.theory import convolution, sheet
from hw2exp.theory.__main__ import main
from hw2exp.theory.answers import vanishing
from hw2exp.theory.sheet import PARTS, select


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], list(PARTS)),
        (["1"], list(PARTS)),
        (["1.2.2e"], ["1.2.2e"]),
        (["1.2.2 (e)"], ["1.2.2e"]),
        (["1.2.2(E)"], ["1.2.2e"]),
        (["1.1ci"], ["1.1ci"]),
        (["1.1c"], ["1.1ci", "1.1cii", "1.1ciii", "1.1civ"]),
        (["1.1 (c) (iv)."], ["1.1civ"]),
        (["1.3", "1.1a", "1.3b"], ["1.1a", "1.3a", "1.3b", "1.3c", "1.3d"]),
        (["1.2."], [part for part in PARTS if part.startswith("1.2")]),
    ],
)
def test_parts_are_chosen_by_number_or_beginning(words, parts):
    assert select(words) == parts


@pytest.mark.parametrize("word", ["1.2.2x", "2", "", "()", "e"])
def test_an_unknown_part_is_named_with_what_is_there(word):
    with pytest.raises(ConfigError, match=r"no such part; (did you mean 1|allowed: 1.1a, 1.1b)"):
        select([word])


def test_one_part_is_printed(capsys):
    assert main(["1.2.2e"]) == 0
    printed = capsys.readouterr().out
    for label in ("write-up", "right", "because", "numbers", "checked"):
        assert f"\n  {label} " in printed
    assert "1.2.2 (e)" in printed
    assert "false" in printed
    assert "✓" in printed
    assert "1 part: false 1\n1 check, all passed" in printed
    assert all(line == line.rstrip() for line in printed.splitlines())


def test_a_failed_check_is_shown_and_exits_with_1(capsys, monkeypatch):
    forward = convolution.forward
    monkeypatch.setattr(convolution, "forward", lambda *args: 2 * forward(*args))
    assert main(["1.1ci"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "✗ FAILED" in printed
    assert "more than 1e-10" in printed
    assert "1 check, 1 FAILED" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["1.2.2x"], "1.2.2x: no such part"),
        (["1.2.2x", "foo"], "1.2.2x, foo: no such part; did you mean 1.2.2f?"),
        (["--runs", "nowhere", "1.2.1d"], "--runs nowhere: no such folder"),
        (["--runs", "file", "1.2.1d"], "--runs file: not a folder"),
        (["--runs", "", "1.2.1d"], "'': must be a path"),
        (["--figures", "", "1.2.1a"], "'': must be a path"),
        (["--runs", ".", "1.1a"], "--runs .: only part 1.2.1d reads runs"),
        (["--runs", ".", "1.2.1d"], ".: holds no run that came to its end"),
        (["--figures", "file/below", "1.1a"], "--figures file/below: Not a directory"),
        (["--figures", "file", "1.1a"], "--figures file: File exists"),
        (["--runs", ".", "--figures", "new", "1.2.1d"], ".: holds no run"),
        (["--runs", "x" * 300, "1.2.1d"], "--runs xxx"),
        (["--figure", "x"], "unrecognized arguments: --figure; see --help"),
        (["--figures"], "argument --figures: expected one argument; see --help"),
    ],
)
def test_bad_input_is_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(vanishing, "at_initialization", dict)  # takes seconds, before runs are read
    (tmp_path / "file").touch()
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"hw2exp: {message}")
    assert printed.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_figures_are_drawn(tmp_path, capsys):
    assert main(["1.2.1a", "1.2.2a", "--figures", str(tmp_path / "figures")]) == 0
    drawn = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert drawn == ["attn_rnn.svg", "gated_rnn.svg"]


def test_it_is_said_that_no_figure_belongs_to_a_part(tmp_path, capsys):
    assert main(["1.1a", "--figures", str(tmp_path)]) == 0
    assert "no figure belongs to 1.1a" in capsys.readouterr().out


def test_a_figure_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "gated_rnn.svg").mkdir()
    assert main(["1.2.1a", "--figures", str(tmp_path)]) == 1
    assert capsys.readouterr().err.endswith("gated_rnn.svg: Is a directory\n")


@pytest.mark.parametrize("operation", ["mkdir", "write", "replace"])
def test_a_full_disk_is_one_line(operation, tmp_path, monkeypatch, capsys):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *map(str, args[:1]))

    monkeypatch.setattr(disk.os, operation, full)
    assert main(["1.2.1a", "--figures", str(tmp_path / "new" / "figures")]) == 1
    monkeypatch.undo()
    error = capsys.readouterr().err
    assert re.fullmatch(r"hw2exp: .*/new\S*: No space left on device\n", error)
    assert ".part" not in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.nightly
@pytest.mark.parametrize("words", [["1.1a"], ["--help"]])
def test_a_full_standard_output_is_one_line(words):
    command = [sys.executable, "-m", "hw2exp.theory", *words]
    with open("/dev/full", "w") as full:
        shown = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert shown.returncode == 0
    assert shown.stderr == "hw2exp: warning: standard output: No space left on device\n"


def test_commands_to_run_next_stand_whole(capsys):
    from hw2exp.theory.answers.vanishing import COMMANDS
    from hw2exp.theory.sheet import answer, text_of

    found = answer("1.1a", None)
    printed = text_of(replace(found, commands=COMMANDS), 60, color=False)
    assert all(f" {command}\n" in printed for command in COMMANDS)
    assert max(map(len, text_of(found, 60, color=False).splitlines())) <= 60


@pytest.mark.slow
def test_a_terminal_without_the_letters_gets_others():
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "hw2exp.theory", "1.1a"]
    shown = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (shown.returncode, shown.stderr) == (0, "")


@pytest.mark.slow
def test_a_reader_may_leave_off():
    command = f"{sys.executable} -m hw2exp.theory 1.1 | head -1; exit ${{PIPESTATUS[0]}}"
    shown = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, "")


@pytest.mark.nightly
def test_an_interrupt_ends_it_at_once():
    command = [sys.executable, "-m", "hw2exp.theory"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.read(10)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate()
    assert running.returncode == -signal.SIGINT  # a shell says 130
    assert errors == b""


def test_the_number_of_threads_is_left_as_it_was(capsys):
    torch.set_num_threads(2)
    main(["1.1a"])
    assert torch.get_num_threads() == 2


def test_help_lists_the_parts_and_imports_nothing_heavy():
    code = (
        "import sys; from hw2exp.theory.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'numpy', 'scipy', 'matplotlib', 'hydra'} & set(sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert all(part in shown.stdout for part in PARTS)


def test_every_part_names_a_function():
    assert [part for part in PARTS if not callable(find(part))] == []


def find(part):
    import importlib

    module, function = sheet.PARTS[part].split(".")
    return getattr(importlib.import_module(f"hw2exp.theory.answers.{module}"), function)


@pytest.mark.nightly  # each part is in the quick suite
def test_the_whole_sheet():
    command = [sys.executable, "-m", "hw2exp.theory"]
    shown = subprocess.run(command, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr == ""
    assert "20 parts" in shown.stdout
    assert "all passed" in shown.stdout


def test_a_folder_without_runs_is_refused_before_anything_is_measured(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(vanishing, "at_initialization", lambda: pytest.fail("measured"))
    assert main(["1.2.1d", "--runs", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
