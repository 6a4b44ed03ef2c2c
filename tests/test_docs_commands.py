"""The commands that the documentation shows run as they are printed, page by page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_docs import PAGES

ELSEWHERE = "node1", "executor=slurm", "logger=", " DIR "
"""In commands for other machines or accounts, and in those with a name for any folder."""


def script(text):
    """Return a page's commands of the bench, in their order."""
    shown = "\n".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)).replace("\\\n", " ")
    own = [line for line in shown.splitlines() if line.startswith("python -m hw2exp")]
    here = [line for line in own if not any(word in line for word in ELSEWHERE)]
    return "\n".join(here)


SCRIPTS = {name: commands for name, text in PAGES.items() if (commands := script(text))}


@pytest.mark.nightly
@pytest.mark.parametrize("name", SCRIPTS)
def test_the_commands_of_a_page_run(tmp_path, name):
    here = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", SCRIPTS[name]], cwd=tmp_path, env=os.environ | here,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]


def test_most_pages_with_commands_are_run():
    assert {"README.md", "docs/tutorial.md", "docs/howto/whatif.md"} <= SCRIPTS.keys()
    assert sum(map(len, map(str.splitlines, SCRIPTS.values()))) > 50
