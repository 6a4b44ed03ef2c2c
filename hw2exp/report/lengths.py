"""Gather arms by sequence length: at which lengths do runs still solve the task?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hw2exp.records.arms import NO_CURE, Arm, Key, names

LEAST = 3
"""Least number of lengths in a group."""


@dataclass(frozen=True)
class ByLength:
    """Arms that differ only in their cures and in the task.

    Args:
        name: the settings that tell the group from others.
        lines: for each set of cures, the arm of each length, in ascending order.
    """

    name: str
    lines: Mapping[str, Mapping[int, Arm]]


def by_length(arms: Sequence[Arm]) -> list[ByLength]:
    """Gather the arms that have runs at ``LEAST`` lengths or more.

    Args:
        arms: all arms.
    """
    groups: dict[Key, dict[str, dict[int, Arm]]] = {}
    for arm in arms:
        lines = groups.setdefault(arm.settings_but("task", *NO_CURE), {})
        lines.setdefault(arm.cures, {})[_length(arm)] = arm
    found = [
        (rest, {cures: dict(sorted(line.items())) for cures, line in lines.items()})
        for rest, lines in groups.items()
        if max(map(len, lines.values())) >= LEAST
    ]
    called = names([dict(rest) for rest, _ in found])
    return [ByLength(name, lines) for name, (_, lines) in zip(called, found, strict=True)]


def _length(arm: Arm) -> int:
    """Return the largest sequence length of an arm."""
    return arm.config.task.ranges[0][1] - 1
