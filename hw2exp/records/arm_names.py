"""Name the arms of a study by the settings in which they differ."""

from collections.abc import Iterable, Mapping, Sequence

from hw2exp.config.registry import CHOICES
from hw2exp.config.settings import Value
from hw2exp.system.problems import show

Settings = Mapping[str, Value]

ALL = "all runs"
"""The name of a single arm, which no setting distinguishes."""

BROUGHT = {"init.readout": "norm"}
"""Keys that a choice of another group may set in its own file, with that group.

This only shortens names. A comparison treats these keys like any other setting.
"""


def names(arms: Sequence[Settings]) -> list[str]:
    """Name each arm by its distinguishing choices, and by values that the choices don't decide."""
    keys = differing(arms)
    groups = [key for key in keys if key in CHOICES]
    free = [key for key in keys if key not in CHOICES and not decided(key, arms)]
    return [words([*groups, *free], own) or ALL for own in arms]


def differing(arms: Sequence[Settings]) -> list[str]:
    """Return the keys whose values differ between arms."""
    keys = dict.fromkeys(key for own in arms for key in own)
    return [key for key in keys if len({own.get(key) for own in arms}) > 1]


def words(keys: Iterable[str], settings: Settings) -> str:
    """Write settings as typed; leave out keys without a value."""
    return " ".join(f"{key}={show(settings[key])}" for key in keys if key in settings)


def decided(key: str, arms: Sequence[Settings]) -> bool:
    """Return whether a group's choice decides a value: equal choices have equal values."""
    group = BROUGHT.get(key, key.partition(".")[0])
    values: dict[Value, set[Value]] = {}
    for own in arms:
        values.setdefault(own.get(group), set()).add(own.get(key))
    return group in CHOICES and all(len(each) == 1 for each in values.values())
