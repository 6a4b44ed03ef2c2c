"""Restore the commands that started runs, from Hydra's records."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hw2exp.config.own_code import MODULES
from hw2exp.config.run_files import OVERRIDES, SWEEP
from hw2exp.config.yaml_file import load_yaml
from hw2exp.system.problems import ConfigError

IMPORT = "--import"


def commands(runs: Iterable[tuple[Path, Mapping[str, str]]]) -> list[str]:
    """Return the command of each sweep or single run once, in the order of the runs.

    Skip folders without Hydra's records.

    Args:
        runs: the folder of each run, and the versions in its result: they name modules of the
            user's, which the command imports.
    """
    found: dict[str, None] = {}
    sweeps: set[Path] = set()
    for folder, versions in runs:
        if folder.parent in sweeps:
            continue
        if (folder.parent / SWEEP).is_file():
            sweeps.add(folder.parent)
            words = _typed(_read(folder.parent / SWEEP))
        else:
            words = _read(folder / OVERRIDES)
        if not isinstance(words, list):
            continue
        modules = [word for name in versions.get(MODULES, "").split() for word in (IMPORT, name)]
        typed = [shlex.quote(str(word)) for word in words if not str(word).startswith("resume=")]
        found[" ".join(["python -m hw2exp.train", *modules, *typed])] = None
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
