"""``scripts/judge_checkpoints.py`` reads from which step a run resumes."""

import importlib.util
import re
from pathlib import Path

from hw2exp.runs.summary import print_start

SCRIPT = Path(__file__).parents[2] / "scripts/judge_checkpoints.py"
spec = importlib.util.spec_from_file_location("judge_checkpoints", SCRIPT)
judge = importlib.util.module_from_spec(spec)
spec.loader.exec_module(judge)


def test_the_judge_finds_the_step_in_what_a_resumed_run_prints(compose, tmp_path, capsys):
    print_start(compose(), tmp_path, 1.39, 0.25, done=20)
    assert re.search(judge.RESUMED, capsys.readouterr().out)[1] == "20"
    ended = "outputs/a has its result: nothing is left to do\nfinished after 30 steps in 0:01"
    assert re.search(judge.RESUMED, ended)[1] == "30"
