"""Runs of sequences of several lengths: at which is the task still solved?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hw2exp.records.runs import NO_CURE, Arm, Key, names

LEAST = 3
"""Lengths that there must be."""


@dataclass(frozen=True)
class ByLength:
    """Arms that differ in cures and in the sequences' length only.

    Args:
        name: what tells them from others.
        lines: by cures, the arm of each length, by length.
    """

    name: str
    lines: Mapping[str, Mapping[int, Arm]]


def by_length(arms: Sequence[Arm]) -> list[ByLength]:
    """Gather arms that were run at three lengths or more.

    Args:
        arms: all.
    """
    groups: dict[Key, dict[str, dict[int, Arm]]] = {}
    for arm in arms:
        lines = groups.setdefault(_rest(arm), {})
        lines.setdefault(arm.cures, {})[_length(arm)] = arm
    found = [
        (rest, {cures: dict(sorted(line.items())) for cures, line in lines.items()})
        for rest, lines in groups.items()
        if max(map(len, lines.values())) >= LEAST
    ]
    called = names([dict(rest) for rest, _ in found])
    return [ByLength(name, lines) for name, (_, lines) in zip(called, found, strict=True)]


def _length(arm: Arm) -> int:
    """The longest sequences of an arm."""
    config = next(iter(arm.runs.values())).config
    return config.task.ranges[0][1] - 1


def _rest(arm: Arm) -> Key:
    return tuple(
        (key, value)
        for key, value in arm.settings.items()
        if key.partition(".")[0] not in {"task", *NO_CURE}
    )
