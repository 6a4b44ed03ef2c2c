"""Restore the commands that started runs, from Hydra's records."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hw2exp.config.own_code import MODULES
from hw2exp.config.parsing import parse, written_out
from hw2exp.config.refusals import REFUSALS
from hw2exp.config.run_files import OVERRIDES, SWEEP
from hw2exp.config.yaml_file import load_yaml
from hw2exp.system.problems import ConfigError

IMPORT = "--import"

MANY = 8
"""Fewest values that are written as a function."""


def commands(runs: Iterable[tuple[Path, Mapping[str, str]]]) -> list[str]:
    """Return the command of each sweep or single run once, in the order of the runs.

    Skip folders without Hydra's records.

    Args:
        runs: the folder of each run, and the versions in its result, which name the user's modules
            that the command imports.
    """
    modules: dict[Path, dict[str, None]] = {}
    sweeps: dict[Path, bool] = {}
    for folder, versions in runs:
        above = folder.parent
        if above not in sweeps:
            sweeps[above] = (above / SWEEP).is_file()
        named = versions.get(MODULES, "").split()
        modules.setdefault(above if sweeps[above] else folder, {}).update(dict.fromkeys(named))
    found: dict[str, None] = {}
    for folder, names in modules.items():
        whole = sweeps.get(folder, False)
        words = _typed(_read(folder / SWEEP)) if whole else _read(folder / OVERRIDES)
        if not isinstance(words, list):
            continue
        imports = [word for name in names for word in (IMPORT, name)]
        typed = [_short(str(word)) for word in words if not str(word).startswith("resume=")]
        found[f"python -m hw2exp.train {shlex.join([*imports, *typed])}".rstrip()] = None
    return list(found)


def _short(word: str) -> str:
    """Write many spaced numbers of a sweep as the function that lists them, if there is one."""
    key, _, listed = word.partition("=")
    values = listed.split(",")
    if len(values) < MANY or "." not in listed:  # whole numbers are short
        return word
    for name in ("logspace", "linspace"):
        short = f"{key}={name}({values[0]},{values[-1]},{len(values)})"
        try:
            if str(written_out(parse(short), []).input_line) == word:
                return short
        except REFUSALS:
            continue
    return word


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
