"""Start Hydra for a command line, and leave a caller's own Hydra as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import __version__, compose, initialize_config_module
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from hw2exp.config.composition import Composition
from hw2exp.config.registry import ADDED_CHOICES, import_packages
from hw2exp.config.repository import confined_configs
from hw2exp.config.trusted import trusted_resolvers

CONFIG_MODULE = "hw2exp.configs"
CONFIG_NAME = "train"
VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if __version__.startswith("1.3.") else {}
"""The argument that asks Hydra 1.3 for its own defaults; later versions have no others."""

JOB_NAME = "train"  # as Hydra names it after the module


@contextmanager
def hydra_kept() -> Iterator[None]:
    """Restore the Hydra state of a caller that uses Hydra itself."""
    loaded, job = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    try:
        yield
    finally:  # by then Hydra has made other instances
        GlobalHydra.instance().hydra, HydraConfig.instance().cfg = loaded, job


@contextmanager
def hydra_started(config_dir: str | None) -> Iterator[Composition]:
    """Start Hydra on the shipped configs, and yield the composer.

    Args:
        config_dir: the folder of the user's configs, from ``--config-dir``.
    """
    store_added_choices()
    GlobalHydra.instance().clear()
    with confined_configs(), initialize_config_module(CONFIG_MODULE, JOB_NAME, **VERSION_BASE):
        loader: Any = GlobalHydra.instance().config_loader()
        if config_dir is not None:  # as in hydra.main, before the first look-up
            path = loader.get_search_path()
            folder = f"file://{Path(config_dir).absolute()}"
            path.prepend("command-line", folder, anchor=SearchPathQuery(provider="schema"))
            loader.repository.initialize_sources(path)
        with trusted_resolvers():
            yield Composition(
                loader,
                lambda lines: compose(CONFIG_NAME, overrides=list(lines), return_hydra_config=True),
            )


def store_added_choices() -> None:
    """Register the choices that a user's code added with Hydra."""
    import_packages()
    known = ConfigStore.instance()
    for (group, name), defaults in ADDED_CHOICES.items():
        known.repo.get(group, {}).pop(f"{name}.yaml", None)  # Hydra 1.4 warns of a second one
        known.store(group=group, name=name, node=dict(defaults))
