"""Register the fleet launcher and sweeper with Hydra; the code is in ``hw2exp.sweeps``.

Hydra finds launchers and sweepers in ``hydra_plugins`` only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class FleetLauncher(Launcher):
    """A launcher that passes all jobs of a batch to the task function at once."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep Hydra's context, task function and config."""
        from hw2exp.sweeps.launcher import Batches  # slow: not in every program that lists plugins

        self._batches = Batches(hydra_context, task_function, config)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run a batch of jobs."""
        return self._batches.launch(job_overrides, initial_job_idx)


class FleetSweeper(BasicSweeper):
    """Hydra's basic sweeper, without its extra composition of each job before the launch."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep the task function, which may run all jobs without a list of them."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self._whole = getattr(task_function, "whole", None)

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep; a failed job has already been reported."""
        from hw2exp.sweeps.job_return import JobFailed
        from hw2exp.sweeps.launcher import run_batches, run_whole

        if self._whole is not None:
            return run_whole(self.config, self._whole)
        lines = [*self._parse_config(), *arguments]
        overrides = OverridesParser.create(self.hydra_context.config_loader).parse_overrides(lines)
        batches = self.split_arguments(overrides, self.max_batch_size)
        try:
            return run_batches(self.launcher, self.config, batches)
        except JobFailed:
            return None


@dataclass
class FleetLauncherConf:
    """``hydra/launcher=fleet``."""

    _target_: str = f"{__name__}.FleetLauncher"


@dataclass
class FleetSweeperConf(BasicSweeperConf):
    """``hydra/sweeper=fleet``."""

    _target_: str = f"{__name__}.FleetSweeper"


STORE = ConfigStore.instance()
STORE.store(group="hydra/launcher", name="fleet", node=FleetLauncherConf, provider="hw2exp")
STORE.store(group="hydra/sweeper", name="fleet", node=FleetSweeperConf, provider="hw2exp")
