import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hw2exp.config.run_files import DIAGNOSTICS, SPIKES
from hw2exp.records.metrics import CATALOG, digest_of_frame, read_metrics

OPTIONAL = DIAGNOSTICS, SPIKES
LIVES = Path(__file__).with_name("lives.py")


def record(folder):
    """All that a run has left, but how long it took."""
    result = json.loads((folder / "result.json").read_text())
    assert result.pop("seconds") > 0
    assert result["metrics_sha256"] == digest_of_frame(read_metrics(folder / "metrics.parquet"))
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    tags = accumulator.Tags()
    scalars = {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)]
        for tag in tags["scalars"]
    }
    seen = (folder / DIAGNOSTICS).exists()
    assert len(scalars) == len(CATALOG) if not seen else len(scalars) > len(CATALOG)
    assert all(len({step for step, _ in events}) == len(events) for events in scalars.values())
    texts = [event.tensor_proto for event in accumulator.Tensors("spikes/text_summary")]
    return {
        "result": result,
        "scalars": scalars,
        "texts": texts,
        "tensors": sorted(tags["tensors"]),
        "parameters": (folder / "parameters.safetensors").read_bytes(),
        **{name: (folder / name).read_bytes() for name in OPTIONAL if (folder / name).exists()},
    }


def nothing_else(folder):
    """Assert that a run that has ended holds no more than the contract says."""
    names = sorted(path.name.split(".tfevents")[0] for path in folder.iterdir())
    assert [name for name in names if name not in OPTIONAL] == [
        ".hydra", "checkpoints", "events.out", "metrics.parquet", "parameters.safetensors",
        "result.json",
    ]  # fmt: skip
    assert not list(folder.rglob("*.part"))
    below = {path.name.split("_")[0] for path in (folder / "checkpoints").iterdir()}
    assert below <= {"metrics.rows", "diagnostics.rows", "step"}


@pytest.fixture
def same():
    """Assert that runs have left the same, and nothing else, however often they went on."""

    def same(whole, runs):
        expected = record(whole)
        for run in runs:
            assert record(run) == expected, run
            nothing_else(run)

    return same


@pytest.fixture
def lives(tmp_path):
    """Run ``lives.py`` in a process of its own; returns what it says."""

    def lives(*words):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, LIVES, *map(str, words)],
            capture_output=True, text=True, cwd=tmp_path, env=environment, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return lives
