"""List a config's values by key, and sort values and folders in natural order."""

import re
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from hw2exp.config.registry import CHOICES
from hw2exp.config.schema import OPERATIONAL, TrainConfig
from hw2exp.config.yaml_file import leaves
from hw2exp.system.problems import show

Plain = bool | int | float | str
"""A value that TensorBoard and loggers show as it is."""

Value = Any
"""A hashable value of a config: a number, a text, a bool, None, or a tuple of such values."""


def settings_of(config: TrainConfig, left_out: Set[str] = frozenset()) -> dict[str, Value]:
    """Return a config's values by dotted key; a choice's name has its group as key.

    Args:
        config: the config.
        left_out: the top-level keys to leave out.
    """
    found: dict[str, Value] = {}
    for name, value in config.model_dump(exclude=set(left_out)).items():
        if name in CHOICES:
            found[name] = value.pop("name")
        within = value.items() if isinstance(value, Mapping) else [("", value)]
        found |= {f"{name}.{key}".rstrip("."): _hashable(each) for key, each in within}
    return found


def flat(config: TrainConfig) -> dict[str, Plain]:
    """Return a config's values by dotted key, without operational keys; lists become texts.

    Args:
        config: the config.
    """
    found = leaves(config.model_dump(exclude=OPERATIONAL))
    return {key: value if isinstance(value, Plain) else str(value) for key, value in found}


def _hashable(value: Any) -> Value:
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    return show(value) if isinstance(value, Mapping) else value


Rank = tuple[bool, float, list[str | int]]


def rank(value: Value) -> Rank:
    """Return a value's sort key: numbers by size, then texts in natural order.

    Args:
        value: a value, or a text; ``b8`` sorts before ``b10``.
    """
    try:
        return False, float(value), []
    except (TypeError, ValueError):
        pieces = re.split(r"(\d+)", show(value))
        return True, 0.0, [int(piece) if piece.isdecimal() else piece for piece in pieces]


def rank_of_path(path: Path) -> list[Rank]:
    """Return a folder's sort key: job 8 sorts before job 10."""
    return list(map(rank, path.parts))
