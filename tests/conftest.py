import os

# One thread: on tensors this small more threads only wait for each other, in workers above all.
os.environ["OMP_NUM_THREADS"] = "1"

import json

import pytest
import torch

from hw2exp.config.schema import TrainConfig
from tests import cheap


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def composed_once():
    with cheap.composed_once():
        yield


@pytest.fixture
def in_process():
    """Run the fleets of sweeps in this process, where workers are not what is tested."""
    with cheap.in_process():
        yield


@pytest.fixture(scope="session")
def compose():
    """Make a checked config from overrides, as the command line does."""
    from hw2exp.config.command_line import read

    def compose(*overrides: str) -> TrainConfig:
        return read(overrides).jobs[0].config

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
