"""Let ckpt-chaos kill a run at each of its file operations, resume the run, and judge the result.

The script needs the program of the package ckpt-chaos, in this environment or on the PATH. A run
resumes by the command that began it. It must end with the parameters and the metrics of a run that
was not killed, and must resume from the newest complete checkpoint.

Limits: ckpt-chaos tears files, and takes back unsynced data, only if they are written through
Python's ``open``; the trainer writes through ``os.open``, see ``hw2exp.system.disk``. File names
with a process id are marked ``PLAN DRIFT``, since every process has another id.
"""

import argparse
import shlex
import subprocess
import sys

RUN = "task=easy model=rnn batch_size=8 plot=false steps=30 checkpoint_every=10 keep_checkpoints=9"
RESULT = (
    "import json, sys; own = json.load(open(sys.argv[1]));"
    "print(own['status'], own['parameters_sha256'], own['metrics_sha256'])"
)
RESUMED = r"(?s)(?:resumes after step|nothing is left to do.*?finished after) (\d+)"
"""Matches the step from which a run resumes; for a finished run, its last step."""

FAILURES = "HARD_FAIL,SILENT_DIVERGENCE,LOST_WORK,CONTROL_FAIL"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--modes", default="before,term", help="kinds of kills (default: %(default)s)"
    )
    parser.add_argument("--points", type=int, default=200, help="most kills (default: all)")
    parser.add_argument("--work", help="a new folder for what was judged")
    arguments = parser.parse_args()
    train = [sys.executable, "-m", "hw2exp.train", *RUN.split(), "hydra.run.dir={out}"]
    judge = [
        "ckpt-chaos", "run", "--modes", arguments.modes, "--max-points", str(arguments.points),
        "--checkpoint-glob", "{out}/checkpoints/step_*", "--ckpt-ignore-size",  # holds times
        "--step-regex", RESUMED, "--fail-on", FAILURES,
        "--result-cmd", shlex.join([sys.executable, "-c", RESULT, "{out}/result.json"]),
        *(["--work", arguments.work] if arguments.work else []),
    ]  # fmt: skip
    try:
        sys.exit(subprocess.run([*judge, "--", *train, "resume={out}"]).returncode)
    except FileNotFoundError:
        sys.exit("ckpt-chaos is not there: pip install ckpt-chaos")


if __name__ == "__main__":
    main()
