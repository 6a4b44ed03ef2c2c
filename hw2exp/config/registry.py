"""Keep the choices of each group: their knobs, and the classes with their equations.

A choice registers itself in the module of its equations. The modules of a group are imported when
the group's choices are first asked for, so a new module needs no other edit.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from hw2exp.config.knob import Choice
from hw2exp.system.members import import_members
from hw2exp.system.terminal import warn

FAMILIES = {
    "model": "hw2exp.models.cells",
    "task": "hw2exp.tasks.variants",
    "optimizer": "hw2exp.optim.optimizers",
    "clip": "hw2exp.optim.clipping",
    "norm": "hw2exp.models.normalization",
    "regularizer": "hw2exp.optim.regularizers",
    "schedule": "hw2exp.optim.schedules",
    "prune": "hw2exp.fleet.pruning",
    "diagnostics": "hw2exp.config.groups",
    "metric": "hw2exp.diagnostics.metrics",
    "logger": "hw2exp.records.loggers",
    "executor": "hw2exp.sweeps.executors",
}
"""The package of each group's modules, in the order of the schema.

A package's ``ORDER``, if there is one, lists choices in the order in which help and tables show
them. Others follow by name, ``none`` first.
"""

ADDED_CHOICES: dict[tuple[str, str], dict[str, Any]] = {}
"""Choices that a user's code added, with their default values, by group and name."""

NAME = r"[A-Za-z0-9_]+"
"""The pattern of a choice's name, which can be typed without quotes."""

ENTRY_POINTS = "hw2exp.choices"
"""The group of the entry points by which installed packages name modules with choices."""

MAIN = ("__main__", "__mp_main__")
"""Names of the main program's module: the second one in worker processes."""

_SECTIONS: dict[str, dict[str, type[Choice]]] = {group: {} for group in FAMILIES}
_EQUATIONS: dict[tuple[str, str], type[Any]] = {}

C = TypeVar("C", bound=type[Any])


def register(
    group: str, name: str, section: type[Choice] | None = None, **defaults: Any
) -> Callable[[C], C]:
    """Register a class as a choice of a group.

    Args:
        group: the group, such as ``clip``.
        name: the choice, as in ``group=name``; letters, digits and ``_``.
        section: the class of its knobs; None: the class itself, which has no equations.
        defaults: default values of the knobs, if no file in ``configs/`` holds them.

    Raises:
        ValueError: the name is taken by another class, or is no name.
    """

    def enter(own: C) -> C:
        shipped = own.__module__.startswith("hw2exp.")
        if not re.fullmatch(NAME, name):
            raise ValueError(f"{group}={name!r}: must be a name of letters, digits and _")
        if name in (_SECTIONS if shipped else CHOICES)[group] and not _is_again(own, group, name):
            raise ValueError(f"{group}={name} exists already: {equations(group, name).__name__}")
        _SECTIONS[group][name] = section or own
        _EQUATIONS[group, name] = own
        if not shipped:
            ADDED_CHOICES[group, name] = {"name": name, **defaults}
        return own

    return enter


def _is_again(own: type[Any], group: str, name: str) -> bool:
    """Return whether a class is a user's choice defined again, as by ``importlib.reload``."""
    before = _EQUATIONS[group, name]
    same = (own.__module__, own.__qualname__) == (before.__module__, before.__qualname__)
    return (group, name) in ADDED_CHOICES and same


def own_modules() -> list[str]:
    """Return the modules of the choices that a user's code added, without the main program."""
    names = (_EQUATIONS[added].__module__ for added in ADDED_CHOICES)
    return [name for name in dict.fromkeys(names) if name not in MAIN]


@cache
def _points() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=ENTRY_POINTS))


_seen: set[str] = set()
"""The entry points whose modules have been imported, or are being imported."""


def import_packages() -> None:
    """Import the modules of installed packages that register choices, by their entry points."""
    for point in _points():
        if point.value in _seen:
            continue
        _seen.add(point.value)
        try:
            point.load()
        except Exception as error:
            what = f"{point.value} of {point.dist.name if point.dist else 'a package'}"
            warn(f"{what} can't be imported: {type(error).__name__}: {error}")


class _Choices(Mapping[str, Mapping[str, type[Choice]]]):
    def __getitem__(self, group: str) -> Mapping[str, type[Choice]]:
        order = getattr(import_members(FAMILIES[group]), "ORDER", ())
        import_packages()

        def place(name: str) -> tuple[int, bool, str]:
            return order.index(name) if name in order else len(order), name != "none", name

        return {name: _SECTIONS[group][name] for name in sorted(_SECTIONS[group], key=place)}

    def __contains__(self, group: object) -> bool:
        return group in FAMILIES  # without sorting the choices: called for each key of each run

    def __iter__(self) -> Iterator[str]:
        return iter(FAMILIES)

    def __len__(self) -> int:
        return len(FAMILIES)


CHOICES: Mapping[str, Mapping[str, type[Choice]]] = _Choices()
"""The choices of each group, with the section of each choice."""


def equations(group: str, name: str) -> type[Any]:
    """Return the class with a choice's equations.

    Args:
        group: the group.
        name: the choice.
    """
    import_members(FAMILIES[group])
    import_packages()
    return _EQUATIONS[group, name]
