"""Keep interpolated and configured folders below the folder that the user named."""

import os
from fnmatch import fnmatchcase
from pathlib import Path

from hw2exp.config.folder import check_path
from hw2exp.config.run_files import OWN_NAMES
from hw2exp.system.problems import ConfigError


def root_of(written: str) -> Path:
    """Return the literal part of a folder, before the first interpolated name."""
    return Path(written.partition("${")[0].rpartition("/")[0] or ".")


def check_inside(root: Path, path: Path, what: str) -> None:
    """Refuse a path that leaves a folder, by ``..``, as an absolute path, or through a link.

    Args:
        root: the folder.
        path: the path to check, which need not exist.
        what: the key and value that set the path, for the message.

    Raises:
        ConfigError: the path leads out of the folder.
    """
    check_path(path, what)
    real, inside = os.path.realpath(root), os.path.realpath(path)
    if ".." in path.parts[len(root.parts) :] or os.path.commonpath([real, inside]) != real:
        where = root if root.parts else "the current folder"
        raise ConfigError([f"{what}: leads out of {where}; must stay in it"])


def check_subfolder(root: Path, name: str) -> None:
    """Refuse a job's folder that leaves the sweep's, or that a run or a sweep could replace.

    Args:
        root: the sweep's folder.
        name: the job's folder, relative to the root.

    Raises:
        ConfigError: the name is unsuitable.
    """
    what = f"hydra.sweep.subdir={name}"
    check_inside(root, root / name, what)
    for part in Path(name).parts:
        if part.startswith("."):
            raise ConfigError([f"{what}: {part} begins with a dot; must be a name without"])
        if any(fnmatchcase(part, own) for own in OWN_NAMES):
            raise ConfigError([f"{what}: {part} is a name of what a run writes; must be another"])
