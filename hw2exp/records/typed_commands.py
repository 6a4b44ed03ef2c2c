"""Restore the commands that started runs, from Hydra's records."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hw2exp.config.run_files import OVERRIDES, SWEEP
from hw2exp.config.yaml_file import load_yaml
from hw2exp.system.problems import ConfigError


def commands(folders: Iterable[Path]) -> list[str]:
    """Return the command of each sweep or single run once, in the order of the run folders.

    Skip folders without Hydra's records.
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
            words = _read(folder / OVERRIDES)
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
