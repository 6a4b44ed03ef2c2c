"""The commands that runs were made by, as Hydra recorded them."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hw2exp.config.problems import ConfigError
from hw2exp.config.yaml_file import load_yaml

SWEEP = "multirun.yaml"


def commands(folders: Iterable[Path]) -> list[str]:
    """Each command once, in the order of the folders: a sweep's, or that of a run alone.

    Args:
        folders: run folders; of those without Hydra's records nothing is said.
    """
    found: dict[str, None] = {}
    sweeps: set[Path] = set()
    for folder in folders:
        if folder.parent in sweeps:
            continue
        if (folder.parent / SWEEP).is_file():
            sweeps.add(folder.parent)
            words = _typed(_read(folder.parent / SWEEP))
        else:
            words = _read(folder / ".hydra" / "overrides.yaml")
        if not isinstance(words, list):
            continue
        typed = [shlex.quote(str(word)) for word in words if not str(word).startswith("resume=")]
        found[" ".join(["python -m hw2exp.train", *typed])] = None
    return list(found)


def _typed(record: Any) -> list[str] | None:
    try:
        return ["-m", *record["hydra"]["overrides"]["task"]]
    except (KeyError, TypeError):
        return None


def _read(path: Path) -> Any:
    try:
        return load_yaml(path)
    except ConfigError:
        return None
