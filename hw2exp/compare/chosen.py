"""Choose the arms of the two sides of a comparison, by folders and settings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hw2exp.compare.columns import read_runs_below
from hw2exp.compare.sides import SETTING, Side, listed, read_conditions, select
from hw2exp.config.folder import check_there
from hw2exp.config.registry import CHOICES
from hw2exp.records.arm_names import ALL, Settings, decided, differing, words
from hw2exp.records.arms import Arm, gather
from hw2exp.system.problems import ConfigError, counted


@dataclass(frozen=True)
class Chosen:
    """The arms of a side.

    Args:
        name: the side as typed.
        keys: the keys that the side names.
        arms: the arms.
    """

    name: str
    keys: Sequence[str]
    arms: Sequence[Arm]

    def __str__(self) -> str:
        return f"{self.name} ({counted(sum(len(arm.runs) for arm in self.arms), 'run')})"


def is_setting(word: str) -> bool:
    """Return whether a word of a side is a setting; else it is a folder."""
    return bool(SETTING.fullmatch(word)) and "/" not in word.partition("=")[0]


def read_sides(
    one: Sequence[str], other: Sequence[str], notes: list[str]
) -> tuple[tuple[Chosen, Chosen], int]:
    """Read the runs of both sides, each folder once, and count the folders that can't be read.

    Args:
        one: the words of one side.
        other: those of the other side; without a folder, it takes those of the first.
        notes: the list to which lines about what is left out are added.

    Raises:
        ConfigError: a folder holds no run, or no run has the settings of a side.
    """
    folders = [[Path(word) for word in words if not is_setting(word)] for words in (one, other)]
    if not folders[0]:
        raise ConfigError([f"{' '.join(one)}: names no folder"])
    folders[1] = folders[1] or folders[0]
    for path in (path for paths in folders for path in paths):
        check_there(path, str(path))
    read = {path: read_runs_below(path, notes) for paths in folders for path in paths}
    gathered: dict[tuple[Path, ...], list[Arm]] = {}
    for paths in dict.fromkeys(map(tuple, folders)):
        gathered[paths], repeated = gather(run for path in paths for run in read[path][0])
        if not gathered[paths]:
            names = " ".join(map(str, paths))
            raise ConfigError([*notes[:1], f"{names}: no run that came to its end"])
        if repeated:
            notes.append(f"{counted(repeated, 'run')} left out: another has its settings and seed")
    sides = []
    for own, paths in zip((one, other), map(tuple, folders), strict=True):
        settings = [word for word in own if is_setting(word)]
        side = Side([[each for word in settings for each in read_conditions(word)]])
        name = str(side) or " ".join(map(str, paths))
        sides.append(Chosen(name, side.keys, select(side, gathered[paths])))
    if folders[0] != folders[1]:
        sides = [replace(each, keys=(*each.keys, *_constant(sides))) for each in sides]
    return (sides[0], sides[1]), sum(lost for _, lost in read.values())


def _constant(sides: Sequence[Chosen]) -> list[str]:
    """Return the keys in which two folders differ, each having one value in all of its arms."""
    keys = differing([arm.settings for side in sides for arm in side.arms])
    return [
        key
        for key in keys
        if all(len({arm.settings.get(key) for arm in side.arms}) == 1 for side in sides)
    ]


def check_apart(a: Chosen, b: Chosen) -> None:
    """Refuse two sides that have a run in common."""
    of_a = {run.folder for arm in a.arms for run in arm.runs.values()}
    both = [arm for arm in b.arms if any(run.folder in of_a for run in arm.runs.values())]
    if not both:
        return
    settings = [arm.settings for arm in (*a.arms, *b.arms)]
    keys = telling(settings) or ["seed"]
    there = "; ".join(f"{key}: {listed(own.get(key) for own in settings)}" for key in keys)
    name = words((key for key in keys if key != "seed"), both[0].settings) or ALL
    raise ConfigError(
        [f"{a.name} and {b.name}: both have {name}; name what tells them apart; there: {there}"]
    )


def telling(settings: Sequence[Settings]) -> list[str]:
    """Return the choices in which arms differ, and the values that no choice decides."""
    keys = differing(settings)
    return [key for key in keys if key in CHOICES or not decided(key, settings)]
