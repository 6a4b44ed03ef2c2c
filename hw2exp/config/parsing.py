"""Parse overrides, and write out values that Hydra would list wrongly, or differently each time.

A command is parsed once for the checks, and again by Hydra for the run. Both must see the same
values in the same order.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from math import ceil, inf, isfinite
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, RangeSweep

PARSER = OverridesParser.create()

MOST_VALUES = 100_000
"""The most values of one override."""

CALL = re.compile(r"\b(sort|shuffle|glob|linspace|logspace)\s*\(")

DIGITS = 12
"""Significant digits of spaced values, so that they are the same on every machine."""

_sort: Callable[..., Any] = PARSER.functions.functions["sort"]


def sort(*args: Any, reverse: bool = False, **named: Any) -> Any:
    """Sort like Hydra, but a range by its values.

    Hydra reverses a range by its bounds, which is right only if the step divides their distance:
    ``sort(range(8,30,8),reverse=true)`` would be 22, 14, 6.

    Args:
        args: the values.
        reverse: whether the largest comes first.
        named: the values, by Hydra's argument names.

    Raises:
        ValueError: a range has too many values.
    """
    args = tuple(map(_listed, args))
    return _sort(*args, reverse=reverse, **{name: _listed(each) for name, each in named.items()})


def linspace(start: int | float, stop: int | float, count: int) -> ChoiceSweep:
    """List equally spaced values.

    Args:
        start: the first value.
        stop: the last value.
        count: the number of values.

    Raises:
        ValueError: there are too few or too many values, or an end is not finite.
    """
    if isinstance(start, int) and isinstance(stop, int) and count > 1:
        step, rest = divmod(stop - start, count - 1)
        if not rest and count <= MOST_VALUES:
            return ChoiceSweep(list=[start + n * step for n in range(count)])
    return _spaced(start, stop, count, lambda part: start + part * (stop - start))


def logspace(start: int | float, stop: int | float, count: int) -> ChoiceSweep:
    """List values with equal ratios; ``start`` and ``stop`` are values, not exponents.

    Args:
        start: the first value.
        stop: the last value.
        count: the number of values.

    Raises:
        ValueError: there are too few or too many values, or an end is not finite and positive.
    """
    if not (start > 0 and stop > 0):
        raise ValueError("its ends must be positive")
    ratio = stop / start
    return _spaced(start, stop, count, lambda part: float(start * ratio**part))


def _spaced(start: float, stop: float, count: int, value: Callable[[float], float]) -> ChoiceSweep:
    """List ``value`` at equally spaced parts from 0 to 1; as integers if all results are whole."""
    if not 2 <= count <= MOST_VALUES:
        raise ValueError(f"lists {count} values; must be 2 to {MOST_VALUES}")
    if not (isfinite(start) and isfinite(stop)):
        raise ValueError("its ends must be finite")
    inner = [float(f"{value(n / (count - 1)):.{DIGITS}g}") for n in range(1, count - 1)]
    values: list[Any] = [start, *inner, stop]
    whole = all(isinstance(end, int) for end in (start, stop)) and all(map(float.is_integer, inner))
    return ChoiceSweep(list=[int(each) for each in values] if whole else values)


PARSER.functions.functions["sort"] = sort
PARSER.functions.register("linspace", linspace)
PARSER.functions.register("logspace", logspace)


@cache
def parse(line: str) -> Override:
    """Parse an override, with a cache, because the parser is slow."""
    return PARSER.parse_override(line)


def key_of(override: Override) -> str:
    """Return the key or the group of an override."""
    return str(override.key_or_group.lstrip("/"))


def count(override: Override) -> float:
    """Count the values of an override without a list: a short range can have billions."""
    return _count(override.value())


def _count(space: Any) -> float:
    if isinstance(space, ChoiceSweep):
        return len(space.list)
    if not isinstance(space, RangeSweep) or space.start is None or space.stop is None:
        return 1
    try:
        return max(0, ceil((space.stop - space.start) / space.step))
    except (ArithmeticError, ValueError):  # a step of 0, an end that is not finite
        return inf


def written_out(override: Override, choices: list[str]) -> Override:
    """Write out the values that a function makes, one by one, in a fixed order.

    Args:
        override: any override; without a call in ``CALL`` it stays unchanged.
        choices: the choices of its group, if it chooses from a group.
    """
    line, space = str(override.input_line), override.value()
    if not CALL.search(line) or count(override) > MOST_VALUES:
        return override
    if isinstance(space, Glob):
        values = space.filter(choices)
    elif override.is_discrete_sweep():
        values = list(override.sweep_string_iterator())
    else:
        values = [override.get_value_element_as_str()]
    if not values:
        return override
    listed = f"{override.get_key_element()}={','.join(values)}"
    return replace(parse(listed), config_loader=override.config_loader)


def _listed(space: Any) -> Any:
    if not isinstance(space, RangeSweep):
        return space
    if (number := _count(space)) > MOST_VALUES:
        raise ValueError(f"stands for {number:.3g} values; at most {MOST_VALUES}")
    return ChoiceSweep(list=list(space.range()), tags=space.tags)
