"""Names that become folders stay below the folder that a person has named."""

import os
from pathlib import Path

from hw2exp.config.folder import check_path
from hw2exp.config.problems import ConfigError


def root_of(written: str) -> Path:
    """The folder that is meant as it is written: all before the first value that is put in.

    Args:
        written: a folder with ``${...}`` in it.
    """
    return Path(written.partition("${")[0].rpartition("/")[0] or ".")


def check_inside(root: Path, path: Path, what: str) -> None:
    """Refuse a path that leaves a folder, by ``..``, from the root, or through a link.

    Args:
        root: the folder.
        path: where something is to go; it need not exist.
        what: the key and the value that say so.

    Raises:
        ConfigError: it would go elsewhere.
    """
    check_path(path, what)
    real, inside = os.path.realpath(root), os.path.realpath(path)
    if ".." in path.parts[len(root.parts) :] or os.path.commonpath([real, inside]) != real:
        where = root if root.parts else "the current folder"
        raise ConfigError([f"{what}: leads out of {where}; must stay in it"])
