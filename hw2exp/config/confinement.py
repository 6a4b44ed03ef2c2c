"""Names that become folders stay below the folder that a person has named."""

import os
from fnmatch import fnmatchcase
from pathlib import Path

from hw2exp.config.folder import check_path
from hw2exp.config.problems import ConfigError

OWN_NAMES = ("result.json", "metrics.parquet", "parameters.safetensors", "spikes.safetensors",
             "diagnostics.*", "curve.*", "events.out.tfevents.*", "multirun.yaml", "checkpoints",
             "arms", "anatomy")  # fmt: skip
"""What runs and sweeps write, and remove, in their folders; ``*`` stands for any letters."""


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


def check_subfolder(root: Path, name: str) -> None:
    """Refuse a folder for a job that leaves the sweep's, or that a run or a sweep could replace.

    Args:
        root: the folder of the sweep.
        name: the folder of the job, from there.

    Raises:
        ConfigError: it can't be.
    """
    what = f"hydra.sweep.subdir={name}"
    check_inside(root, root / name, what)
    for part in Path(name).parts:
        if part.startswith("."):
            raise ConfigError([f"{what}: {part} begins with a dot; must be a name without"])
        if any(fnmatchcase(part, own) for own in OWN_NAMES):
            raise ConfigError([f"{what}: {part} is a name of what a run writes; must be another"])
