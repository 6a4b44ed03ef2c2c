import subprocess
import sys

import pytest
import torch

from hw2exp.config.problems import ConfigError
from hw2exp.theory import convolution, sheet
from hw2exp.theory.__main__ import main
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
    assert "1 part: false 1; 1 checks, all passed" in printed


def test_a_failed_check_is_shown_and_exits_with_1(capsys, monkeypatch):
    forward = convolution.forward
    monkeypatch.setattr(convolution, "forward", lambda *args: 2 * forward(*args))
    assert main(["1.1ci"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "✗ FAILED" in printed
    assert "more than 1e-10" in printed
    assert "1 checks, 1 FAILED" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["1.2.2x"], "1.2.2x: no such part"),
        (["--runs", "nowhere", "1.2.1d"], "--runs nowhere: no such folder"),
        (["--runs", ".", "1.1a"], "--runs .: only part 1.2.1d reads runs"),
        (["--runs", ".", "1.2.1d"], ".: holds no run that came to its end"),
        (["--figures", "file/below", "1.1a"], "--figures file/below: Not a directory"),
    ],
)
def test_bad_input_is_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
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


@pytest.mark.slow
def test_the_whole_sheet():
    command = [sys.executable, "-m", "hw2exp.theory"]
    shown = subprocess.run(command, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr == ""
    assert "20 parts" in shown.stdout
    assert "all passed" in shown.stdout
