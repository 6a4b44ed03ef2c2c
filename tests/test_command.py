"""What commands have in common."""

import signal
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize("name", ["anatomy", "compare", "report", "theory"])
def test_what_saves_nothing_ends_at_once_when_interrupted(name):
    """By the system, without a word; Python would print where it was."""
    script = f"MODULE = 'hw2exp.{name}'\n{SCRIPT}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
    assert done.stdout.startswith(f"usage: python -m hw2exp.{name}")
