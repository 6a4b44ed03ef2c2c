"""A config's values by key, as they would be typed."""

import re
from collections.abc import Mapping, Set
from pathlib import Path

from hw2exp.config.choices import CHOICES
from hw2exp.config.problems import show
from hw2exp.config.schema import TrainConfig


def settings_as_typed(config: TrainConfig, left_out: Set[str] = frozenset()) -> dict[str, str]:
    """Write a config's values as they would be typed, by key; a choice by its group.

    Args:
        config: the config.
        left_out: keys and groups that don't matter.
    """
    found: dict[str, str] = {}
    for name, value in config.model_dump(exclude=set(left_out)).items():
        if name in CHOICES:
            found[name] = value.pop("name")
        within = value.items() if isinstance(value, Mapping) else [("", value)]
        found |= {f"{name}.{key}".rstrip("."): show(each) for key, each in within}
    return found


Rank = tuple[bool, float, list[str | int]]


def rank(value: str) -> Rank:
    """Return what values are sorted by: numbers by size, before texts by their letters and numbers.

    Args:
        value: as typed; ``b8`` stands before ``b10``.
    """
    try:
        return False, float(value), []
    except ValueError:
        pieces = re.split(r"(\d+)", value)
        return True, 0.0, [int(piece) if piece.isdecimal() else piece for piece in pieces]


def rank_of_path(path: Path) -> list[Rank]:
    """Return what folders are sorted by: job 8 stands before job 10.

    Args:
        path: the folder.
    """
    return list(map(rank, path.parts))
