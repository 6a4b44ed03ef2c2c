"""Choose the arms of a side of a comparison by their settings, such as ``clip=norm``."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hw2exp.config.settings import Value, rank
from hw2exp.records.arm_names import Settings
from hw2exp.records.arms import Arm
from hw2exp.system.problems import ConfigError, nearest, show

SETTING = re.compile(r"([A-Za-z_][\w.]*?)(!?)=(.*)", re.DOTALL)
"""A setting: a key, ``=`` or ``!=``, and a value."""

FORM = "must be settings such as clip=norm or optimizer=adam,clip=none"

MOST_LISTED = 12
"""Most values of a key that a message lists."""


@dataclass(frozen=True)
class Condition:
    """A condition on a setting.

    Args:
        key: the setting's key.
        values: the values as typed; the setting must have one of them.
        excluded: whether the setting must have none of them instead.
    """

    key: str
    values: tuple[str, ...]
    excluded: bool

    def holds(self, settings: Settings) -> bool:
        """Return whether the settings fulfill the condition; a missing key has no value."""
        known = self.key in settings
        found = known and any(_is(settings[self.key], value) for value in self.values)
        return found != self.excluded

    def __str__(self) -> str:
        return f"{self.key}{'!' * self.excluded}={','.join(self.values)}"


@dataclass(frozen=True)
class Side:
    """A side of a comparison: the arms for which all conditions of an alternative hold.

    Args:
        alternatives: the conditions of each alternative; without a condition, all arms fit.
    """

    alternatives: Sequence[Sequence[Condition]]

    @property
    def conditions(self) -> list[Condition]:
        """Return the conditions of all alternatives."""
        return [each for own in self.alternatives for each in own]

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of the conditions."""
        return tuple(dict.fromkeys(each.key for each in self.conditions))

    def of(self, arms: Iterable[Arm]) -> list[Arm]:
        """Return the arms of the side."""
        return [
            arm
            for arm in arms
            if any(all(each.holds(arm.settings) for each in own) for own in self.alternatives)
        ]

    def __str__(self) -> str:
        return " or ".join(" ".join(map(str, own)) for own in self.alternatives)


def read_conditions(text: str) -> list[Condition]:
    """Read settings that are joined by commas; a comma may also join the values of a key.

    ``optimizer=adam,sgd,clip!=none`` holds for either optimizer with any clipping.

    Raises:
        ConfigError: the text is not of this form.
    """
    found: list[tuple[str, str, list[str]]] = []
    for piece in _pieces(text):
        if matched := SETTING.fullmatch(piece):
            key, sign, value = matched.groups()
            found.append((key, sign, [value]))
        elif found:
            found[-1][2].append(piece)
        else:
            raise ConfigError([f"{text or repr('')}: {FORM}"])
    for key, sign, values in found:
        if not all(values):
            raise ConfigError([f"{key}{sign}={','.join(values)}: lacks a value; {FORM}"])
    return [Condition(key, tuple(values), bool(sign)) for key, sign, values in found]


def _pieces(text: str) -> list[str]:
    """Split a text at the commas outside of brackets."""
    pieces, depth = [""], 0
    for letter in text.strip():
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth <= 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return [piece.strip() for piece in pieces]


def _is(value: Value, word: str) -> bool:
    """Return whether a value equals a typed word; numbers may be written in any form."""
    if type(value) in (int, float):
        try:
            return bool(float(word) == value)
        except ValueError:
            return False
    return show(value) == word


def select(side: Side, arms: Sequence[Arm]) -> list[Arm]:
    """Return the arms of a side, at least one.

    Raises:
        ConfigError: no run has a key or a value that the side names, or all of them.
    """
    keys = dict.fromkeys(key for arm in arms for key in arm.settings)
    for each in side.conditions:
        if each.key not in keys:
            raise ConfigError([f"{each}: no such key; {nearest(each.key, keys)}"])
        for value in each.values:
            if not any(Condition(each.key, (value,), False).holds(arm.settings) for arm in arms):
                there = listed(arm.settings.get(each.key) for arm in arms)
                raise ConfigError([f"{each.key}={value}: no run has it; there: {there}"])
    if not (found := side.of(arms)):
        there = "; ".join(
            f"{key}: {listed(arm.settings.get(key) for arm in arms)}" for key in side.keys
        )
        raise ConfigError([f"{side}: no run has all of these; there: {there}"])
    return found


def listed(values: Iterable[Value]) -> str:
    """List different values as typed, in order, without missing ones."""
    ranked = sorted({value for value in values if value is not None}, key=rank)
    more = f", … ({len(ranked)})" if len(ranked) > MOST_LISTED else ""
    return ", ".join(map(show, ranked[:MOST_LISTED])) + more
