"""Sweeps of a task function that knows fleets, and of one that doesn't."""

import sys
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import hydra
import pytest

from hw2exp.config.hydra_session import CONFIG_MODULE, CONFIG_NAME, VERSION_BASE
from hw2exp.config.schema import TrainConfig
from hw2exp.sweeps.job_outcome import JobOutcome


@pytest.fixture
def sweep(monkeypatch, tmp_path):
    """Run a sweep as the command does; returns what Hydra returns, job by job."""
    from hydra._internal.hydra import Hydra
    from hydra.core.global_hydra import GlobalHydra

    monkeypatch.chdir(tmp_path)

    def sweep(*arguments, fleet=None, job=lambda config: None):
        caught = []
        original = Hydra.multirun

        def multirun(*args, **kwargs):
            caught.extend(original(*args, **kwargs) or [])

        def task(config):
            return job(config)

        if fleet is not None:
            task.fleet = fleet
        with monkeypatch.context() as patched:
            patched.setattr(Hydra, "multirun", multirun)
            patched.setattr(sys, "argv", ["train", "-m", *arguments])
            patched.setenv("HYDRA_FULL_ERROR", "1")
            try:
                hydra.main(f"pkg://{CONFIG_MODULE}", CONFIG_NAME, **VERSION_BASE)(task)()
            finally:
                GlobalHydra.instance().clear()
        return [each for batch in caught for each in batch]

    return sweep


@dataclass(frozen=True)
class MadeJob:
    """What a sweep's summary needs of a job."""

    overrides: tuple[str, ...]
    config: TrainConfig
    folder: Path


@pytest.fixture(scope="session")
def job(compose):
    """Make a job that has ended; its config differs from another's where their overrides do."""
    config = compose("task=easy")

    def job(*overrides, outcome=None, folder=Path()):
        rest = " ".join(word for word in overrides if not word.lstrip("+").startswith("seed="))
        own = config.model_copy(update={"steps": 1 + crc32(rest.encode())})
        return JobOutcome(MadeJob(overrides, own, folder), outcome)

    return job
