"""Leave out what costs much and is not what a test is about: Hydra, workers, and the disk."""

import os
import pickle
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.utils import JobRuntime
from hydra.types import TaskFunction
from omegaconf import OmegaConf

from hw2exp.config.registry import ADDED_CHOICES
from hw2exp.sweeps import sweep
from hw2exp.sweeps.executor import FleetExecutor
from hw2exp.sweeps.executors import local
from hw2exp.sweeps.hydra_app import ComposedHydra

SHIPPED = ["pkg://hydra.conf", "pkg://hw2exp.configs", "structured://"]
FOLDER = re.compile(r"^(hydra\.(?:run|sweep)\.dir)=(?!(?:false|inf|nan|null|true)$)[a-z/][\w./-]*$")


class InProcess(FleetExecutor):
    """Runs the fleets of a sweep here, one after the other."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        """Run a task at once."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **more))
        except Exception as error:
            future.set_exception(error)
        return future

    def check(self, fn: Callable[..., Any], /, *args: Any) -> Any:
        """Call a function at once."""
        return fn(*args)


@contextmanager
def in_process() -> Iterator[None]:
    """Run the fleets of sweeps in this process: a worker takes seconds to start."""
    with (
        patch.object(sweep, "WorkerExecutor", InProcess),
        patch.object(local, "WorkerExecutor", InProcess),
        patch.object(local, "prepare", lambda: None),
    ):
        yield


@contextmanager
def composed_once() -> Iterator[None]:
    """Let Hydra read and compose the shipped configs once: two thirds of a short run's time.

    Folders are set afterwards, since each test has its own.
    """
    with (
        patch.object(ConfigLoaderImpl, "_load_configuration_impl", _composed),
        patch.object(ConfigLoaderImpl, "get_group_options", _options),
        patch.object(ConfigRepository, "load_config", _loaded),
    ):
        yield


@contextmanager
def without_hydra() -> Iterator[None]:
    """Run single jobs without Hydra's application, whose copies of a config take a quarter."""

    def run(self: ComposedHydra, name: str, task: TaskFunction, overrides: list[str]) -> None:
        task(self._config)

    with patch.object(ComposedHydra, "run", run):
        yield


@contextmanager
def no_disk() -> Iterator[None]:
    """Wait for no disk; what can't be synced is an error all the same."""
    with patch.object(os, "fsync", os.fstat):
        yield


_compose, _list = ConfigLoaderImpl._load_configuration_impl, ConfigLoaderImpl.get_group_options
_load = ConfigRepository.load_config
_known: dict[str, bytes] = {}


def _composed(self: ConfigLoaderImpl, **asked: Any) -> Any:
    if any(word in str(asked) for word in ("searchpath", "env_copy")):
        return _compose(self, **asked)
    typed = asked["overrides"]
    asked["overrides"] = anywhere = [FOLDER.sub(r"\1=anywhere", line) for line in typed]
    if "parsed_overrides" in asked:  # of Hydra 1.4, which parses again what it has not
        asked["parsed_overrides"] = None
    key = repr((JobRuntime.instance().conf, sorted(asked.items())))
    config = _once(self.repository, key, lambda: _compose(self, **asked))
    config.hydra.runtime.cwd = os.getcwd()
    for line, other in zip(typed, anywhere, strict=True):
        if line != other:
            lines = config.hydra.overrides.hydra
            lines[OmegaConf.to_container(lines).index(other)] = line  # others stay unresolved
            OmegaConf.update(config, *line.split("=", 1))
    return config


def _options(self: ConfigLoaderImpl, *asked: Any, **more: Any) -> Any:
    asking = repr((asked, sorted(more.items())))
    return _once(self.repository, asking, lambda: _list(self, *asked, **more))


def _loaded(self: ConfigRepository, config_path: str) -> Any:
    return _once(self, f"load {config_path}", lambda: _load(self, config_path))


def _once(repository: ConfigRepository, key: str, make: Callable[[], Any]) -> Any:
    """Return a copy of what was made before of the shipped configs; make it anew of others."""
    sources = repository.get_sources()
    if [f"{source.scheme()}://{source.path}" for source in sources] != SHIPPED:
        return make()
    key += repr(ADDED_CHOICES)
    if key not in _known:
        _known[key] = pickle.dumps(make())
    return pickle.loads(_known[key])
