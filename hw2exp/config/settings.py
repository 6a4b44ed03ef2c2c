"""List a config's values by key, as typed in overrides."""

import re
from collections.abc import Mapping, Set
from pathlib import Path

from hw2exp.config.registry import CHOICES
from hw2exp.config.schema import TrainConfig
from hw2exp.system.problems import show


def settings_as_typed(config: TrainConfig, left_out: Set[str] = frozenset()) -> dict[str, str]:
    """Return a config's values as typed in overrides, by key; choices by group.

    Args:
        config: the config.
        left_out: keys and groups to leave out.
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
    """Return a value's sort key: numbers by size, then texts in natural order.

    Args:
        value: the value as typed; ``b8`` sorts before ``b10``.
    """
    try:
        return False, float(value), []
    except ValueError:
        pieces = re.split(r"(\d+)", value)
        return True, 0.0, [int(piece) if piece.isdecimal() else piece for piece in pieces]


def rank_of_path(path: Path) -> list[Rank]:
    """Return a folder's sort key: job 8 sorts before job 10.

    Args:
        path: the folder.
    """
    return list(map(rank, path.parts))
