"""A config's values by key, as they would be typed."""

from collections.abc import Mapping, Set

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
