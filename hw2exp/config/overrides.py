"""Parse overrides, check their choices, and list their values."""

import re
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    Quote,
    QuotedString,
    Sweep,
)

from hw2exp.config.composition import Composition
from hw2exp.config.job import put
from hw2exp.config.parsing import MOST_VALUES, count, key_of, parse, written_out
from hw2exp.config.refusals import REFUSALS, one_error, why_unparsed
from hw2exp.config.registry import CHOICES
from hw2exp.config.trusted import EXTRAS, untrusted
from hw2exp.config.validation import unfit
from hw2exp.system.problems import ConfigError, show, unknown_choice

MOST_JOBS, MOST_PACKED = MOST_VALUES, 1 << 20
"""Most jobs of a sweep with a folder for each job, and of a sweep with packed records."""

LONGEST_KEY = 200

PLAIN_PATH = re.compile(r"[\w.-]*/[\w./-]*", re.ASCII)
"""A path that no override must quote: with a slash, it is no number and no other constant."""


def parse_lines(lines: Sequence[str], composition: Composition) -> tuple[list[Override], list[str]]:
    """Parse overrides, and check the choices of groups.

    Args:
        lines: the overrides as typed.
        composition: the composer, which knows the groups.

    Returns:
        The parsed overrides with their values written out, and the problems. A wrong choice is left
        out, and so are the keys below its group, which mean nothing without it.
    """
    overrides, problems, unknown = [], [], set()
    for line in lines:
        try:
            override = replace(parse(line), config_loader=composition.loader)
        except REFUSALS as error:
            problems.append(f"{line}: {why_unparsed(line, error)}")
            continue
        if refused := untrusted(override) or _wrong_form(override):
            problems += refused
            continue
        nested = isinstance(override.value(), dict | list) and not composition.is_choice(override)
        if nested and (wrong := list(unfit(put({}, key_of(override), override.value())))):
            problems += wrong  # Hydra could not merge it, and would hide all other problems
            continue
        override = written_out(override, composition.choices(key_of(override)))
        if wrong := _wrong_choices(override, composition):
            unknown.add(key_of(override))
            problems += wrong
        overrides.append(override)
    kept = [o for o in overrides if key_of(o).split(".")[0] not in unknown]
    return kept, problems


def _wrong_form(override: Override) -> list[str]:
    line = str(override.input_line)
    if not 0 < len(override.key_or_group) <= LONGEST_KEY:
        return [f"{line}: no such key"]
    if override.package:
        return [f"{line}: a choice stays at its place; leave out @{override.package}"]
    if override.is_delete() and override.key_or_group.rpartition(".")[2].isdecimal():
        return [f"{line}: an item of a list; must be the whole list, as KEY=[…]"]
    space: Any = override.value()
    if _holds_sweep(space.list if isinstance(space, ChoiceSweep) else space):
        return [f"{line}: a function that lists values stands alone, not among others"]
    if (number := count(override)) > MOST_JOBS:
        return [f"{line}: stands for {number:.3g} values; at most {MOST_JOBS}"]
    return []


def _holds_sweep(value: Any) -> bool:
    """Return whether a list or a mapping holds the values of a sweep."""
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(isinstance(each, Sweep) or _holds_sweep(each) for each in below)


def _wrong_choices(override: Override, composition: Composition) -> list[str]:
    group = key_of(override)
    owner, _, leaf = group.partition(".")
    if leaf == "name" and owner in CHOICES:
        return [f"{group}={show(override.value())}: is set by the choice; type {owner}=…"]
    if group == "hydra.mode":
        return [f"{override.input_line}: not here; -m says that it is a sweep"]
    choices = composition.choices(group)
    if not choices or override.is_delete():
        return []
    sweep = override.is_sweep_override()
    values: list[Any] = list(override.sweep_iterator()) if sweep else [override.value()]
    line = str(override.input_line)
    if line in EXTRAS and values[0] not in choices:
        return [f"{line}: is not installed; pip install 'hw2exp[{EXTRAS[line]}]'"]
    optional = group == "experiment" or group.startswith("hydra")
    return [
        unknown_choice(group, value, choices, own=group in CHOICES)
        for value in values
        if str(value) not in choices and not (value is None and optional)
    ]


def axes_of(overrides: Sequence[Override]) -> list[list[str]]:
    """List the values of each override, each as a line; a sweep's jobs are their combinations.

    Raises:
        ConfigError: an override has no values, or they can't be enumerated.
    """
    endless = [o.input_line for o in overrides if o.is_interval_sweep()]
    if endless:
        raise ConfigError(
            f"{line}: lists no values; needs hydra/sweeper=optuna, or range(…)" for line in endless
        )
    axes = [_lines(override) for override in overrides]
    if any(not lines for lines in axes):
        empty = [o.input_line for o, lines in zip(overrides, axes, strict=True) if not lines]
        raise ConfigError(f"{line}: is empty; a sweep needs at least one value" for line in empty)
    return axes


def _lines(override: Override) -> list[str]:
    """Return a line for each value, as Hydra's basic sweeper would make it."""
    (jobs,) = one_error(BasicSweeper.split_arguments, [override], max_batch_size=None)
    return [line for (line,) in jobs]


def too_many(overrides: Sequence[Override], most: int) -> list[str]:
    """Return the problem of a sweep with too many jobs; empty if it has no more than ``most``.

    Args:
        overrides: the overrides.
        most: the largest number of jobs.
    """
    sweeps = {str(o.input_line): max(count(o), 0) for o in overrides if o.is_sweep_override()}
    if (jobs := prod(sweeps.values())) <= most:
        return []
    return [f"{' '.join(sweeps)}: stand for {jobs:.3g} jobs; at most {most}"]


def extremes(override: Override) -> list[str]:
    """Return overrides that test a search space: the ends of an interval, or every value."""
    space = override.value()
    if isinstance(space, IntervalSweep):
        return [f"{override.get_key_element()}={end}" for end in (space.start, space.end)]
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def assignment(key: str, text: str) -> str:
    """Return an override that sets any text, quoted unless it is a plain path."""
    if PLAIN_PATH.fullmatch(text):
        return f"{key}={text}"
    return f"{key}={QuotedString(text, Quote.single).with_quotes()}"
