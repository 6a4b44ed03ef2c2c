"""Overrides that a command would drop without a word."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Override

from hw2exp.config.composition import Composition

OF_SWEEPS = ("hydra.sweep", "hydra.sweeper", "hydra.launcher", "hydra/sweeper", "hydra/launcher")
"""What a single run does not look at."""


def of_other_mode(overrides: Sequence[Override], multirun: bool) -> dict[str, str]:
    """Return the overrides that only the other kind of command looks at, and why.

    Args:
        overrides: of the whole command.
        multirun: whether it is a sweep.
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

    Of two values of one key the last counts, as everywhere in Hydra; but a dimension of a sweep is
    not to vanish so.

    Args:
        overrides: of the whole command.
        composition: knows the groups.
    """
    return {
        str(one.input_line): f"{other.input_line} sets the same key; must be one of them"
        for one, other in combinations(overrides, 2)
        if (_spreads(one) or _spreads(other)) and _meet(one, other, composition)
    }


def _key(override: Override) -> str:
    return override.key_or_group.lstrip("/")


def _spreads(override: Override) -> bool:
    """Whether it is more than one value of one key."""
    return override.is_sweep_override() or isinstance(override.value(), Mapping)


def _meet(one: Override, other: Override, composition: Composition) -> bool:
    """Whether they have a key in common; the keys of a choice are not the choice."""
    if _key(one) == _key(other):  # Hydra keeps one of them, even if their keys differ below
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
