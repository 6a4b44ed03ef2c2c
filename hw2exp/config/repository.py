"""Confine Hydra's configs to the given folders, to plain values, and to a bounded number.

Otherwise Hydra would follow ``..``, absolute paths and links in a config's defaults list.
"""

from codecs import BOM_UTF8
from contextlib import AbstractContextManager
from pathlib import Path, PurePath

from hydra._internal import config_loader_impl
from hydra._internal.config_repository import CachingConfigRepository
from hydra.plugins.config_source import ConfigResult

from hw2exp.config.folder import check_inside
from hw2exp.config.validation import GLOBAL, unfit
from hw2exp.config.yaml_file import load_yaml
from hw2exp.system.problems import ConfigError
from hw2exp.system.replaced import replaced

MOST_LOADS = 500
"""The most loads of configs in a composition; about 60 are needed if each group is chosen."""


class ConfinedRepository(CachingConfigRepository):
    """Hydra's repository of configs for one composition; raises :class:`ConfigError`."""

    _loads = 0

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Check that a config is in its folder and holds plain values, then read it."""
        self._loads += 1
        if self._loads > MOST_LOADS:
            why = "names itself, or too many others, in the defaults lists below it"
            raise ConfigError([f"{config_path}: {why}"])
        _check_name(config_path)
        if f"config_path={config_path}" not in self.cache:
            self._vet(config_path)
        return super().load_config(config_path)

    def config_exists(self, config_path: str) -> bool:
        """Return whether a config exists."""
        _check_name(config_path)
        return super().config_exists(config_path)

    def group_exists(self, config_path: str) -> bool:
        """Return whether a group exists."""
        _check_name(config_path)
        return super().group_exists(config_path)

    def _vet(self, config_path: str) -> None:
        source = next((each for each in self.get_sources() if each.is_config(config_path)), None)
        if source is not None and source.scheme() == "file":
            check_file(Path(source.path), source._normalize_file_name(config_path))


def check_file(folder: Path, name: str) -> None:
    """Refuse an untrusted file that is no config.

    Args:
        folder: the folder of configs.
        name: the file's path in the folder.

    Raises:
        ConfigError: a link leads out of the folder, or the file begins with a byte-order mark,
            holds other than plain values, or has a mapping instead of a list.
    """
    path, about = folder / name, f"--config-dir={folder}"
    check_inside(folder, path, f"{about}: {name}")
    try:
        content = load_yaml(path)
    except ConfigError as error:
        raise ConfigError(f"{about}: {problem}" for problem in error.problems) from error
    text = path.read_bytes()
    group = "" if GLOBAL.encode() in text else ".".join(Path(name).parent.parts)
    if content and (problems := list(unfit(content, group))):
        raise ConfigError(f"{about}: {name}: {problem}" for problem in problems)
    if text.startswith(BOM_UTF8):  # Hydra would not find the first line
        why = "begins with a byte-order mark (BOM); must be saved without it"
        raise ConfigError([f"{about}: {path} {why}"])


def confined_configs() -> AbstractContextManager[None]:
    """Let every composition of Hydra use a :class:`ConfinedRepository`."""
    return replaced(config_loader_impl, "CachingConfigRepository", ConfinedRepository)


def _check_name(config_path: str) -> None:
    """Refuse the name of a config or a group that could lead out of its folder."""
    path = PurePath(config_path)
    if path.is_absolute() or ".." in path.parts:
        why = "leads out of its folder; must be a choice of a group, as /GROUP: CHOICE"
        raise ConfigError([f"{config_path}: {why}"])
