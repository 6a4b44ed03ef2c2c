"""Hold the values of a large sweep by axis, and the numbers of its jobs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw2exp.config.schema import TrainConfig

Numbers = NDArray[np.int64]
Data = dict[str, int | float]


@dataclass(frozen=True)
class Axis:
    """An override of a sweep with its values.

    Args:
        key: the key or the group.
        lines: the override for each value.
        values: the numbers, if the runs of a fleet may differ in the key (*data*); else None.
    """

    key: str
    lines: Sequence[str]
    values: Sequence[int | float] | None

    @property
    def told(self) -> Sequence[int | float | str]:
        """Return the values as numbers if they are data, else as typed."""
        typed = [line.partition("=")[2] for line in self.lines]
        return typed if self.values is None else self.values

    @property
    def repeats(self) -> bool:
        """Return whether a value comes twice."""
        return len(set(self.told)) < len(self.told)

    @property
    def ends(self) -> list[int]:
        """Return the places of the smallest and the largest number; none without data."""
        if self.values is None:
            return []
        places = range(len(self.values))
        return sorted({end(places, key=self.values.__getitem__) for end in (min, max)})


@dataclass(frozen=True)
class Axes:
    """The axes of a sweep whose jobs are all combinations; the last axis changes first.

    Jobs that differ in data only belong to one *program*, which is a combination of the values on
    all other axes.

    Args:
        axes: the axes, in the order of the overrides.
    """

    axes: Sequence[Axis]

    @property
    def swept(self) -> list[Axis]:
        """Return the axes with several values; the others are the same in all jobs."""
        return [axis for axis in self.axes if len(axis.lines) > 1]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the number of values on each swept axis."""
        return tuple(len(axis.lines) for axis in self.swept)

    def __len__(self) -> int:
        return prod(self.shape)

    @property
    def data_size(self) -> int:
        """Return the number of jobs of each program."""
        return prod(len(axis.lines) for axis in self.swept if axis.values is not None)

    def places(self, number: int) -> tuple[int, ...]:
        """Return the place of a job's value on each swept axis."""
        return tuple(map(int, np.unravel_index(number, self.shape)))

    def lines(self, number: int) -> list[str]:
        """Return the overrides of a job."""
        places = iter(self.places(number))
        return [axis.lines[next(places) if len(axis.lines) > 1 else 0] for axis in self.axes]

    def data(self, number: int) -> Data:
        """Return a job's data by key."""
        each = zip(self.swept, self.places(number), strict=True)
        return {axis.key: axis.values[n] for axis, n in each if axis.values is not None}

    def columns(self, numbers: Sequence[int]) -> dict[str, list[Any]]:
        """Return the values of some jobs on each swept axis, by key: numbers, or texts."""
        places = np.unravel_index(np.asarray(numbers), self.shape)
        return {
            axis.key: [values[n] for n in own]
            for axis, own in zip(self.swept, places, strict=True)
            for values in [axis.told]
        }

    def program(self, number: int) -> int:
        """Return the program of a job."""
        index = 0
        for axis, place in zip(self.swept, self.places(number), strict=True):
            if axis.values is None:
                index = index * len(axis.lines) + place
        return index

    def programs(self) -> list[Numbers]:
        """Return the numbers of each program's jobs, in rising order."""
        data = [n for n, axis in enumerate(self.swept) if axis.values is not None]
        rest = [n for n in range(len(self.swept)) if n not in data]
        numbers = np.arange(len(self)).reshape(self.shape).transpose(*rest, *data)
        return [*np.sort(numbers.reshape(-1, self.data_size), axis=1)]

    def differences(self, other: "Axes") -> list[str]:
        """Describe how the numbering of jobs differs from that by other axes; empty if it doesn't.

        Args:
            other: the other axes.
        """
        here, there = ({axis.key: axis for axis in own.swept} for own in (self, other))
        if {*here} != {*there}:
            return [f"the swept keys {_listed(here)}, not {_listed(there)}"]
        if [*here] != [*there]:
            return [f"the swept keys in the order {_listed(here)}, not {_listed(there)}"]
        return [
            f"the values of {key} in another order"
            if {*axis.told} == {*there[key].told}
            else f"other values of {key}"
            for key, axis in here.items()
            if [*axis.told] != [*there[key].told]
        ]

    def samples(self) -> Iterator[int]:
        """Yield the numbers of some jobs of each program: if they are valid, all its jobs are.

        In these jobs, one number is at an end of its axis, and the others are the first ones of
        theirs. That is enough, because the range of a knob has no holes, and no rule joins two
        numbers in which runs of a fleet may differ.
        """
        ends = [(n, end) for n, axis in enumerate(self.swept) for end in axis.ends]
        for numbers in self.programs():
            first = self.places(int(numbers[0]))
            others = [(*first[:n], end, *first[n + 1 :]) for n, end in ends]
            for places in dict.fromkeys([first, *others]):
                yield int(np.ravel_multi_index(places, self.shape)) if places else 0


def _listed(keys: Iterable[str]) -> str:
    return " ".join(keys) or "(none)"


def with_data(config: TrainConfig, data: Mapping[str, int | float]) -> TrainConfig:
    """Return a config with other numbers for some knobs, without checking them.

    Args:
        config: the config.
        data: the numbers by dotted key.
    """
    for key, value in data.items():
        config = _put(config, key.split("."), value)
    return config


def _put(section: Any, names: Sequence[str], value: int | float) -> Any:
    head, *rest = names
    new = _put(getattr(section, head), rest, value) if rest else value
    return section.model_copy(update={head: new})
