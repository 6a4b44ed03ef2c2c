"""The benchmarks run, with sizes whose numbers mean nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (["bench_step.py", "--rounds", "1", "--steps", "50", "--replicas", "2"], 2 + 5),
        (["bench_checkpoints.py", "--rounds", "1", "--jobs", "3", "--steps", "40"], 2 + 3),
        (["bench_sync.py", "--rounds", "1", "--jobs", "3", "--steps", "20"], 2 + 4),
        (["bench_executors.py", "--rounds", "1", "--jobs", "4", "--steps", "20"], 2 + 2),
        (["bench_composition.py", "--jobs", "40", "--hydra-jobs", "6"], 0),
        (["bench_diagnostics.py", "--rounds", "1", "--steps", "40", "--models", "rnn",
          "--replicas", "1", "--parts", "flow", "all"], 2 + 1),
        (["bench_packed.py", "--side", "4", "--rounds", "1", "--jobs", "9"], (2 + 1) + (2 + 1)),
        (["bench_whatif.py", "--rounds", "1", "--seeds", "1", "--most", "1"], 0),
        (["bench_scale.py", "--quick"], (2 + 1) + (2 + 1)),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else "",
)  # fmt: skip
def test_it_runs(words, rows, tmp_path):
    command = [sys.executable, SCRIPTS / words[0], *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert sum(line.startswith("|") for line in done.stdout.splitlines()) == rows, done.stdout
    assert done.stdout.count("\n") >= 4
