"""Let Hydra run a config that is already composed and checked, or show something."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
from hydra._internal.hydra import Hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import env_override
from omegaconf import DictConfig

from hw2exp.config.hydra_session import CONFIG_MODULE, CONFIG_NAME, JOB_NAME, VERSION_BASE
from hw2exp.config.repository import confined_configs
from hw2exp.system.replaced import replaced


class ComposedHydra(Hydra):
    """Hydra's application with a config that is already composed.

    Args:
        loader: the loader that has composed the config.
        config: the config of the run or of the sweep, with Hydra's node.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig) -> None:
        super().__init__(JOB_NAME, loader)
        self._config = config

    def compose_config(self, *args: Any, **named: Any) -> DictConfig:
        """Return the config instead of composing it; configure the logging as Hydra does."""
        loader: Any = self.config_loader
        loader._load_configuration_impl = lambda **_: self._config
        try:
            return super().compose_config(*args, **named)
        finally:
            del loader._load_configuration_impl  # a sweeper composes its jobs by the class's method


@contextmanager
def composed_hydra(loader: ConfigLoader, config: DictConfig) -> Iterator[Hydra]:
    """Make a :class:`ComposedHydra` the process's application; restore the former one at the end.

    Args:
        loader: the loader that has composed the config.
        config: the config of the run or of the sweep, with Hydra's node.
    """
    app = ComposedHydra(loader, config)
    with replaced(GlobalHydra.instance(), "hydra", app), confined_configs():
        yield app


def show(words: Sequence[str], name: str) -> None:
    """Let Hydra show its config, its help or its shell completion.

    Args:
        words: the command's words: flags, then overrides.
        name: the command's name, as shell completion knows it.
    """

    def nothing(config: DictConfig) -> None:
        raise AssertionError("these flags run no job")

    # Let Hydra raise errors instead of printing them.
    raised = env_override({"HYDRA_FULL_ERROR": "1"})
    with replaced(sys, "argv", [name, *words]), confined_configs(), raised:
        hydra.main(f"pkg://{CONFIG_MODULE}", CONFIG_NAME, **VERSION_BASE)(nothing)()
