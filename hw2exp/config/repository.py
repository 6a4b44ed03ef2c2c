"""Where Hydra finds configs: below the folders it was given, plain values only, and not endless.

A config names others in its defaults list, and Hydra follows ``..``, absolute paths and links.
"""

from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from hydra._internal import config_loader_impl
from hydra._internal.config_repository import CachingConfigRepository
from hydra.plugins.config_source import ConfigResult

from hw2exp.config.confinement import check_inside
from hw2exp.config.problems import ConfigError
from hw2exp.config.yaml_file import load_yaml

MOST_LOADS = 500
"""How often a composition may ask for a config; some 60 times where each group is chosen."""


class ConfinedRepository(CachingConfigRepository):
    """Hydra's repository of configs for one composition; raises :class:`ConfigError`."""

    _loads = 0

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Read a config, once it was found to be in its place, and to hold plain values."""
        self._loads += 1
        if self._loads > MOST_LOADS:
            why = "names itself, or too many others, in the defaults lists below it"
            raise ConfigError([f"{config_path}: {why}"])
        _check_name(config_path)
        if f"config_path={config_path}" not in self.cache:
            self._vet(config_path)
        return super().load_config(config_path)

    def config_exists(self, config_path: str) -> bool:
        """Return whether there is such a config."""
        _check_name(config_path)
        return super().config_exists(config_path)

    def group_exists(self, config_path: str) -> bool:
        """Return whether there is such a group."""
        _check_name(config_path)
        return super().group_exists(config_path)

    def _vet(self, config_path: str) -> None:
        source = next((each for each in self.get_sources() if each.is_config(config_path)), None)
        if source is not None and source.scheme() == "file":
            check_file(Path(source.path), source._normalize_file_name(config_path))


def check_file(folder: Path, name: str) -> None:
    """Refuse a file that others may have written, if it is no config.

    Args:
        folder: the folder of configs.
        name: of the file, from there.

    Raises:
        ConfigError: a link leads out of the folder, or the file has other than plain values.
    """
    path, about = folder / name, f"--config-dir={folder}"
    check_inside(folder, path, f"{about}: {name}")
    try:
        load_yaml(path)
    except ConfigError as error:
        raise ConfigError(f"{about}: {problem}" for problem in error.problems) from error
    if path.read_bytes().startswith(BOM_UTF8):  # Hydra would not find the first line
        why = "begins with a byte-order mark (BOM); must be saved without it"
        raise ConfigError([f"{about}: {path} {why}"])


@contextmanager
def confined_configs() -> Iterator[None]:
    """Let Hydra compose through a :class:`ConfinedRepository`, whoever asks it to."""
    loader: Any = config_loader_impl
    before = loader.CachingConfigRepository
    loader.CachingConfigRepository = ConfinedRepository
    try:
        yield
    finally:
        loader.CachingConfigRepository = before


def _check_name(config_path: str) -> None:
    """Refuse the name of a config or a group that could lead out of where it is looked for."""
    path = PurePath(config_path)
    if path.is_absolute() or ".." in path.parts:
        why = "leads out of its folder; must be a choice of a group, as /GROUP: CHOICE"
        raise ConfigError([f"{config_path}: {why}"])
