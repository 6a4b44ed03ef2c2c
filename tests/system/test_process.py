"""What commands have in common."""

import importlib
import os
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


WINDOWS = """
import sys

class NoLocks:
    def find_spec(self, name, path=None, target=None):
        if name == "fcntl":
            raise ModuleNotFoundError("No module named 'fcntl'", name=name)

sys.modules.pop("fcntl", None)
sys.meta_path.insert(0, NoLocks())
sys.platform = "win32"
"""
NEEDS = "hw2exp needs Linux or macOS; on Windows, use WSL: https://learn.microsoft.com/windows/wsl"


def on_windows(folder, *words):
    """Run Python with a system that lacks what Windows lacks."""
    (folder / "sitecustomize.py").write_text(WINDOWS)
    path = os.pathsep.join([str(folder), str(Path(hw2exp.__file__).parents[1])])
    env = os.environ | {"PYTHONPATH": path}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=env)


@pytest.mark.parametrize("name", ["", *(f".{name}" for name in COMMANDS)])
def test_a_command_on_windows_ends_with_one_line(name, tmp_path):
    done = on_windows(tmp_path, "-m", f"hw2exp{name}", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{NEEDS}\n")


def test_the_installed_command_on_windows_ends_with_one_line(tmp_path):
    script = tmp_path / "hw2exp-train.py"
    script.write_text("from hw2exp.train import process; process()")
    done = on_windows(tmp_path, str(script))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{NEEDS}\n")


def test_an_import_on_windows_raises_that_line(tmp_path):
    done = on_windows(tmp_path, "-c", "import hw2exp")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"ImportError: {NEEDS}"
    assert "During handling" not in done.stderr


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
    own = name in (".train", ".extract", ".playground", ".plot", ".zoom")
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


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["anatomy", "compare", "plot", "report", "theory"])
def test_what_saves_nothing_ends_at_once_when_interrupted(name):
    """By the system, without a word; Python would print where it was."""
    script = f"MODULE = 'hw2exp.{name}'\n{SCRIPT}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
    assert done.stdout.startswith(f"usage: python -m hw2exp.{name}")
