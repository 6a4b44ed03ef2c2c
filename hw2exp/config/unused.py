"""Find overrides that a command can't use, or would silently ignore."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from hydra.core.override_parser.types import ChoiceSweep, Override

from hw2exp.config.composition import Composition
from hw2exp.config.parsing import key_of
from hw2exp.config.yaml_file import leaves

OF_SWEEPS = ("hydra.sweep", "hydra.sweeper", "hydra.launcher", "hydra/sweeper", "hydra/launcher")
"""Keys that a single run ignores."""


def unused(
    overrides: Sequence[Override], composition: Composition, multirun: bool, shows: bool
) -> dict[str, str]:
    """Return the overrides that a command can't use, and why.

    Args:
        overrides: the overrides.
        composition: the composer, which knows the groups.
        multirun: whether the command is a sweep.
        shows: whether the command only shows its config; then it may set the keys of the other
            mode (run or sweep).
    """
    wrong: dict[str, str] = {}
    for override in overrides:
        key, line = override.key_or_group, str(override.input_line)
        if override.is_sweep_override() and not multirun:
            wrong[line] = "several values need a sweep: -m, or hw2exp.sweep from Python"
        elif override.is_sweep_override() and (
            override.is_hydra_override()
            or key in ("dry_run", "resume", "executor", "records", "packed_parameters")
            or key.startswith("executor.")
        ):
            wrong[line] = f"one value for all jobs; {key} can't be swept"
    if multirun:
        wrong |= _set_twice(overrides, composition)
    return wrong if shows else wrong | _of_other_mode(overrides, multirun)


def _of_other_mode(overrides: Sequence[Override], multirun: bool) -> dict[str, str]:
    """Return the overrides that only the other mode (run or sweep) uses, and why."""
    keys = ("hydra.run",) if multirun else OF_SWEEPS
    why = (
        "not in a sweep, which goes to hydra.sweep.dir"
        if multirun
        else "only in a sweep; add -m, or leave it out (a single run goes to hydra.run.dir)"
    )
    return {
        str(override.input_line): why
        for override in overrides
        if key_of(override).startswith(tuple(f"{key}{end}" for key in keys for end in "./"))
        or key_of(override) in keys
    }


def _set_twice(overrides: Sequence[Override], composition: Composition) -> dict[str, str]:
    """Return the overrides of a sweep that others would replace, and why.

    In Hydra, the last of two values of a key counts. Here a dimension of a sweep must not vanish
    silently.
    """
    return {
        str(one.input_line): f"{other.input_line} sets the same key; must be one of them"
        for one, other in combinations(overrides, 2)
        if (_spreads(one) or _spreads(other)) and _meet(one, other, composition)
    }


def _spreads(override: Override) -> bool:
    """Return whether an override sets several values or several keys."""
    return override.is_sweep_override() or isinstance(override.value(), Mapping)


def _meet(one: Override, other: Override, composition: Composition) -> bool:
    """Return whether two overrides share a key; a choice shares none with the keys below it."""
    if key_of(one) == key_of(other):  # Hydra keeps one, even if the keys below differ
        return True
    if composition.is_choice(one) or composition.is_choice(other):
        return False
    mine, theirs = ({f"{key}." for key in _keys(each)} for each in (one, other))
    return any(a.startswith(b) or b.startswith(a) for a in mine for b in theirs)


def _keys(override: Override) -> Iterator[str]:
    space = override.value()
    for value in space.list if isinstance(space, ChoiceSweep) else [space]:
        yield from (key for key, _ in leaves(value, key_of(override)))
