"""Report a fleet's jobs to Hydra."""

import os
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobRuntime, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hw2exp.config.job import Job


class JobFailed(Exception):  # noqa: N818
    """The failure of a job, of which the user has already seen the reason."""


class FleetJobReturn(JobReturn):
    """A job's return value for Hydra; the configs are built only on access, because that is slow.

    Args:
        job: the job.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(overrides=list(job.overrides), working_dir=os.getcwd())
        del self.cfg, self.hydra_cfg  # instance fields would hide the properties
        self.task_name = JobRuntime.instance().get("name")
        self._job = job

    @property
    def return_value(self) -> Any:
        """Return the job's value; raise a ``JobFailed`` without Hydra's message."""
        if isinstance(self._return_value, JobFailed):
            raise self._return_value
        return super().return_value

    @return_value.setter
    def return_value(self, value: Any) -> None:
        self._return_value = value

    def set(self, value: Any) -> None:
        """Record the end of the job: its return value, or the exception that it raised."""
        failed = isinstance(value, BaseException)
        self.return_value = value
        self.status = JobStatus.FAILED if failed else JobStatus.COMPLETED

    @cached_property
    def full(self) -> DictConfig:
        """Return the config with Hydra's node."""
        return with_output(self._job.full(), self._job.folder)

    @cached_property
    def cfg(self) -> DictConfig:  # type: ignore[override]
        """Return the config as the job sees it, without Hydra's node."""
        config = deepcopy(self.full)
        with read_write(config), open_dict(config):
            del config["hydra"]
        return config

    @cached_property
    def hydra_cfg(self) -> DictConfig:  # type: ignore[override]
        """Return the config with Hydra's node only."""
        config = OmegaConf.masked_copy(self.full, "hydra")
        config.hydra._set_parent(self.full)  # as HydraConfig does, for interpolations
        return config


def with_output(config: DictConfig, folder: Path) -> DictConfig:
    """Set a job's output folder in Hydra's node, and make the node read-only.

    Args:
        config: the config with Hydra's node; changed in place.
        folder: the job's output folder.
    """
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = os.path.abspath(folder)
    OmegaConf.set_readonly(config.hydra, True)
    return config
