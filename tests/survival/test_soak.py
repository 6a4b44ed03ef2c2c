"""Twenty thousand steps: memory, open files and the disk stay what they were."""

import json
import subprocess
import sys

import pytest

SOAK = """
import json, os, sys
from pathlib import Path
from hw2exp.runs import checkpointing
from hw2exp.train import main

after, seen = checkpointing.Checkpointer.__call__, []
def look(self, step):
    end = after(self, step)
    if step % 1000 == 500:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        files = [p for p in Path("run").rglob("*") if p.is_file()]
        kept = sum(p.stat().st_size for p in files if "step_" in str(p))
        seen.append((step, resident, len(os.listdir("/proc/self/fd")), len(files), kept))
    return end
checkpointing.Checkpointer.__call__ = look
code = main(["task=easy", "steps=20000", "checkpoint_every=200", "batch_size=8", "plot=false",
             "eval_batches=2", "hydra.run.dir=run"])
print(json.dumps(seen))
sys.exit(code)
"""


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_twenty_thousand_steps(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SOAK], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    steps, memory, descriptors, files, kept = zip(*seen, strict=True)
    assert len(steps) == 20
    # The metrics are kept in memory: 2,000 rows of twelve numbers are half a megabyte.
    assert memory[-1] - memory[4] < 4e6, memory
    assert len(set(descriptors)) == 1
    assert len(set(files[1:])) == 1
    assert max(kept) < 2 * min(kept)  # a checkpoint knows of each spike and explosion so far
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert size < 2e6
