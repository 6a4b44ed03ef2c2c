"""What Hydra is told of a job of a fleet."""

import os
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobRuntime, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hw2exp.config.composed_job import ComposedJob


class JobFailed(Exception):  # noqa: N818
    """A job has failed, and the user was told why."""


class FleetJobReturn(JobReturn):
    """What became of a job; its configs are built once somebody looks: that takes long.

    Args:
        job: the job.
        folder: its output folder.
    """

    def __init__(self, job: ComposedJob, folder: Path) -> None:
        super().__init__(overrides=list(job.overrides), working_dir=os.getcwd())
        del self.cfg, self.hydra_cfg  # the fields, which would hide the properties
        self.task_name = JobRuntime.instance().get("name")
        self._job = job
        self._folder = folder

    @property
    def return_value(self) -> Any:
        """What the job returned; of a failed one that was reported, nothing is said again."""
        if isinstance(self._return_value, JobFailed):
            raise self._return_value
        return super().return_value

    @return_value.setter
    def return_value(self, value: Any) -> None:
        self._return_value = value

    def set(self, value: Any) -> None:
        """Note how the job ended.

        Args:
            value: what it returned, or the exception that it failed with.
        """
        failed = isinstance(value, BaseException)
        self.return_value = value
        self.status = JobStatus.FAILED if failed else JobStatus.COMPLETED

    @cached_property
    def full(self) -> DictConfig:
        """The config, Hydra's node included."""
        return with_output(self._job.full(), self._folder)

    @cached_property
    def cfg(self) -> DictConfig:  # type: ignore[override]
        """The config, as the job sees it."""
        config = deepcopy(self.full)
        with read_write(config), open_dict(config):
            del config["hydra"]
        return config

    @cached_property
    def hydra_cfg(self) -> DictConfig:  # type: ignore[override]
        """Hydra's node of it."""
        config = OmegaConf.masked_copy(self.full, "hydra")
        config.hydra._set_parent(self.full)  # as HydraConfig does: for what depends on the job's
        return config


def with_output(config: DictConfig, folder: Path) -> DictConfig:
    """Note a job's folder where Hydra keeps it, and let nobody change Hydra's node.

    Args:
        config: the config, Hydra's node included; it is changed.
        folder: the job's output folder.
    """
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = os.path.abspath(folder)
    OmegaConf.set_readonly(config.hydra, True)
    return config
