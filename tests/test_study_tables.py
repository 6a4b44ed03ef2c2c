"""The README's tables of the study are those of its CSV files."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_readme_has_what_the_script_prints():
    command = [sys.executable, str(ROOT / "scripts" / "study_tables.py")]
    printed = subprocess.run(command, capture_output=True, text=True, encoding="utf-8").stdout
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [line for line in printed.splitlines() if line.startswith("|")]
    assert len(rows) == 14 + 2 * 11
    for row in rows:
        assert row in readme
