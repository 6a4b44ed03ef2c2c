"""Find overrides that a command would silently ignore."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Override

from hw2exp.config.composition import Composition

OF_SWEEPS = ("hydra.sweep", "hydra.sweeper", "hydra.launcher", "hydra/sweeper", "hydra/launcher")
"""Keys that a single run ignores."""


def of_other_mode(overrides: Sequence[Override], multirun: bool) -> dict[str, str]:
    """Return the overrides that only the other mode (run or sweep) uses, and why.

    Args:
        overrides: the overrides of the whole command.
        multirun: whether the command is a sweep.
    """
    keys = ("hydra.run",) if multirun else OF_SWEEPS
    why = (
        "not in a sweep, which goes to hydra.sweep.dir"
        if multirun
        else "only in a sweep; add -m, or leave it out (a single run goes to hydra.run.dir)"
    )
    return {
        str(override.input_line): why
        for override in overrides
        if _key(override).startswith(tuple(f"{key}{end}" for key in keys for end in "./"))
        or _key(override) in keys
    }


def set_twice(overrides: Sequence[Override], composition: Composition) -> dict[str, str]:
    """Return the overrides of a sweep that others would replace, and why.

    In Hydra the last of two values of a key counts. But a dimension of a sweep must not vanish
    silently.

    Args:
        overrides: the overrides of the whole command.
        composition: the composer, which knows the groups.
    """
    return {
        str(one.input_line): f"{other.input_line} sets the same key; must be one of them"
        for one, other in combinations(overrides, 2)
        if (_spreads(one) or _spreads(other)) and _meet(one, other, composition)
    }


def _key(override: Override) -> str:
    return override.key_or_group.lstrip("/")


def _spreads(override: Override) -> bool:
    """Return whether an override sets several values or several keys."""
    return override.is_sweep_override() or isinstance(override.value(), Mapping)


def _meet(one: Override, other: Override, composition: Composition) -> bool:
    """Return whether two overrides share a key; a choice shares none with the keys below it."""
    if _key(one) == _key(other):  # Hydra keeps one, even if the keys below differ
        return True
    if composition.is_choice(one) or composition.is_choice(other):
        return False
    mine, theirs = ([f"{leaf}." for leaf in _leaves(each)] for each in (one, other))
    return any(a.startswith(b) or b.startswith(a) for a in mine for b in theirs)


def _leaves(override: Override) -> Iterator[str]:
    space = override.value()
    values = space.list if isinstance(space, ChoiceSweep) else [space]
    for value in values:
        yield from _below(value, _key(override))


def _below(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from _below(each, f"{key}.{name}")
    else:
        yield key
