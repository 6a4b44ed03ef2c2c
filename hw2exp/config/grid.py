"""Hold the jobs of a large sweep; make a job only when it is needed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Self

from hydra.core.override_parser.types import Override

from hw2exp.config.axes import Axes, Axis
from hw2exp.config.composition import Composition
from hw2exp.config.job import Job
from hw2exp.config.knob import is_per_replica
from hw2exp.config.parsing import key_of
from hw2exp.config.refusals import one_error
from hw2exp.config.validation import all_knobs


def axis_of(override: Override, lines: Sequence[str], composer: Composition) -> Axis:
    """Return the axis of an override.

    Args:
        override: the override.
        lines: an override for each of its values.
        composer: the composer, which knows the groups.
    """
    key = key_of(override)
    kind = _kind_of_data(key)
    if len(lines) < 2 or kind is None or not composer.is_simple(lines[0]):
        return Axis(key, lines, None)
    values: list[Any] = list(override.sweep_iterator())
    if not all(_is_number(value, kind) for value in values):
        return Axis(key, lines, None)
    return Axis(key, lines, [kind(value) for value in values])


def _kind_of_data(key: str) -> type[int] | type[float] | None:
    """Return the type of a knob's numbers if the runs of a fleet may differ in it, else None."""
    fields = [schema.model_fields[name] for known, schema, name in all_knobs() if known == key]
    kinds = {field.annotation if is_per_replica(field) else None for field in fields}
    return next((kind for kind in (int, float) if kinds == {kind}), None)


def _is_number(value: Any, kind: type[int] | type[float]) -> bool:
    allowed = int if kind is int else int | float
    return isinstance(value, allowed) and not isinstance(value, bool) and isfinite(value)


@dataclass(frozen=True)
class Grid:
    """The jobs of a sweep, each made from the first job of its program.

    Args:
        axes: the axes.
        templates: the first job of each program.
    """

    axes: Axes
    templates: Sequence[Job]

    @classmethod
    def compose(cls, axes: Axes, of_hydra: Sequence[str], composer: Composition) -> Self:
        """Compose the first job of each program.

        Args:
            axes: the axes.
            of_hydra: the overrides of Hydra's own node.
            composer: the composer.

        Raises:
            ConfigError: Hydra refuses a combination.
        """
        first = [int(numbers[0]) for numbers in axes.programs()]
        lines = [[*of_hydra, *axes.lines(number)] for number in first]
        return cls(
            axes, [one_error(composer.job, *each) for each in zip(lines, first, strict=True)]
        )

    def __len__(self) -> int:
        return len(self.axes)

    def job(self, number: int) -> Job:
        """Return the job of a number."""
        template = self.templates[self.axes.program(number)]
        values = {**template.values, **self.axes.data(number)}
        lines = tuple(self.axes.lines(number))
        return replace(template, values=values, number=number, overrides=lines)

    @property
    def interpolated(self) -> bool:
        """Return whether other values may depend on data, by an interpolation."""
        keys = {axis.key for axis in self.axes.axes if axis.values is not None}
        return any(job.base.interpolated or keys - {*job.values} for job in self.templates)
