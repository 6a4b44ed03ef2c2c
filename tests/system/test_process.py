"""What commands have in common."""

import importlib
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import hw2exp
from hw2exp.__main__ import COMMANDS, main

SCRIPT = """
import os, runpy, signal, sys, time
sys.argv = ["command", "--help"]
try:
    runpy.run_module(MODULE, run_name="__main__")
except SystemExit:
    import polars  # which has a handler of its own
    polars.DataFrame({"a": [1]}).sum()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
"""


NO_LOCKS = "import runpy, sys; sys.modules['fcntl'] = None; sys.argv = sys.argv[1:];"


@pytest.mark.parametrize("name", ["", *(f".{name}" for name in COMMANDS)])
def test_a_system_without_file_locks_is_told_of_in_a_line(name):
    """As Windows is."""
    script = f"{NO_LOCKS} runpy.run_module('hw2exp{name}', run_name='__main__')"
    words = [sys.executable, "-c", script, "command", "--version"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "on Windows, install it in WSL" in done.stderr


def test_every_command_is_listed(capsys):
    package = Path(hw2exp.__file__).parent
    runnable = {
        ".".join(path.relative_to(package).with_suffix("").parts).removesuffix(".__main__")
        for path in package.rglob("*.py")
        if '\nif __name__ == "__main__"' in path.read_text(encoding="utf-8")
    }
    assert set(COMMANDS) == runnable - {"__main__"}
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in COMMANDS:
        assert any(line.startswith(f"  python -m hw2exp.{name} ") for line in lines)


def test_the_list_of_commands_runs_none(capsys):
    assert main(["train"]) == 2
    assert capsys.readouterr().err.endswith("type python -m hw2exp.train\n")
    assert main(["tarin"]) == 2
    assert "did you mean train?" in capsys.readouterr().err


def main_of(name):
    own = name in (".train", ".extract", ".plot", ".zoom")
    return importlib.import_module(f"hw2exp{name}" + ("" if own else ".__main__")).main


@pytest.mark.parametrize("name", ["", *(f".{name}" for name in COMMANDS)])
def test_every_command_has_our_version(name, capsys):
    with suppress(SystemExit):
        main_of(name)(["--version"])
    assert capsys.readouterr().out == f"hw2exp {hw2exp.__version__}\n"


@pytest.mark.parametrize("name", ["", *(f".{name}" for name in COMMANDS)])
def test_every_command_refuses_an_unknown_flag_in_a_line(name, capsys):
    assert main_of(name)(["--no-such-flag"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", ["anatomy", "compare", "plot", "report", "theory"])
def test_what_saves_nothing_ends_at_once_when_interrupted(name):
    """By the system, without a word; Python would print where it was."""
    script = f"MODULE = 'hw2exp.{name}'\n{SCRIPT}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
    assert done.stdout.startswith(f"usage: python -m hw2exp.{name}")
