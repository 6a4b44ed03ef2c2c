import os

# One thread: on tensors this small more threads only wait for each other, in workers above all.
os.environ["OMP_NUM_THREADS"] = "1"

import gc
import json
from functools import cache

import pytest
import torch
from hypothesis import settings

from hw2exp.config.registry import ADDED_CHOICES
from hw2exp.config.schema import TrainConfig
from hw2exp.sweeps import sweep
from hw2exp.sweeps.executor import WorkerExecutor, available_cores, prepare
from hw2exp.sweeps.executors import local
from tests import cheap

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")

gc.set_threshold(50_000)  # a search after every 700 objects took a tenth of the tests' time


def pytest_xdist_auto_num_workers(config):
    """Run two long tests a core: they wait for half of their time."""
    return 2 * available_cores() if config.option.markexpr in ("slow", "nightly") else None


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def cheaply():
    """Let Hydra compose the same words once, run fleets in this process, and wait for no disk."""
    with cheap.composed_once(), cheap.in_process(), cheap.no_disk():
        yield


@pytest.fixture
def workers(monkeypatch):
    """Run the fleets of sweeps in workers, as the command does."""
    monkeypatch.setattr(sweep, "WorkerExecutor", WorkerExecutor)
    monkeypatch.setattr(local, "WorkerExecutor", WorkerExecutor)
    monkeypatch.setattr(local, "prepare", prepare)


@pytest.fixture(scope="session")
def compose():
    """Make a checked config from overrides, as the command line does."""
    from hw2exp.config.command_line import read

    @cache
    def composed(overrides: tuple[str, ...], added: str) -> TrainConfig:
        kind = "sweep" if "-m" in overrides else "run"
        # Of a folder that has a name, no config with Hydra's node must be resolved.
        return read([*overrides, f"hydra.{kind}.dir=nowhere"]).jobs[0].config

    def compose(*overrides: str) -> TrainConfig:
        return composed(overrides, repr(ADDED_CHOICES))

    return compose


@pytest.fixture(scope="session")
def forget_config():
    """Leave a result as older versions wrote it: what the run was stands in ``.hydra`` alone."""

    def forget_config(folder):
        path = folder / "result.json"
        result = json.loads(path.read_text())
        assert result.pop("config")
        path.write_text(json.dumps(result))

    return forget_config


@pytest.fixture(scope="module")
def step_by_step():
    """Ask for an interrupt after every step, so that runs end where a test wants it."""
    from hw2exp.fleet import loop

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "BLOCK", 1)
        yield
