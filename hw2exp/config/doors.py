"""Register choices: the shipped ones and a user's enter through the same doors.

A choice is a class with its equations. It declares its knobs as annotated fields. Each is a tensor
``(R,)`` with one number for each replica, or one value that all replicas share::

    @register_clip("tensor_norm", max_norm=1.0)
    @dataclass(frozen=True)
    class ClipEachTensor(Clip):
        max_norm: Annotated[Tensor, per_replica("largest norm of one tensor", gt=0)]

Keyword arguments set the default values of the knobs; so does the default of a field.
"""

from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from hw2exp.config import groups
from hw2exp.config.knob import KNOBS, Choice, is_per_replica, section_of
from hw2exp.config.registry import register
from hw2exp.system.problems import faults

C = TypeVar("C", bound=type[Any])


def _door(
    group: str, base: type[Choice], name: str, defaults: dict[str, Any], data: bool = True
) -> Callable[[C], C]:
    """Return a decorator that registers a class; without ``data`` all of its knobs are shared."""

    def enter(own: C) -> C:
        section = vars(own).get(KNOBS) or section_of(own, base)
        if not data and (
            knobs := [k for k, f in section.model_fields.items() if is_per_replica(f)]
        ):
            raise ValueError(f"{group}={name}: its knobs must be shared, not {', '.join(knobs)}")
        values = _own_defaults(own, section) | defaults
        if problem := _unfit(own, section, group, values):
            raise ValueError(f"{group}={name}: {problem}")
        entered = register(group, name, section, **values)(own)
        setattr(own, KNOBS, section)
        return entered

    return enter


def _own_defaults(own: type[Any], section: type[Choice]) -> dict[str, Any]:
    """Return the defaults of a user's fields; those of shipped classes are in ``configs/``."""
    if not is_dataclass(own) or own.__module__.startswith("hw2exp."):
        return {}
    known = [each for each in fields(own) if each.name in section.model_fields]
    return {each.name: each.default for each in known if each.default is not MISSING}


BASES = {
    "model": ("hw2exp.Cell", "project"),
    "task": ("hw2exp.Task", "batch"),
    "optimizer": ("hw2exp.Optimizer", "stability_limit"),
    "clip": ("hw2exp.Clip", "needs_scores"),
    "norm": ("hw2exp.Norm", "gains"),
    "regularizer": ("hw2exp.Regularizer", "needs_path"),
    "schedule": ("hw2exp.Schedule", "observe"),
    "metric": ("hw2exp.Metric", "measure"),
}
"""The base class of each group's choices, and an attribute by which its subclasses are known."""


def _unfit(
    own: type[Any], section: type[Choice], group: str, defaults: dict[str, Any]
) -> str | None:
    """Return why a class can't be a choice of a group, or None."""
    base, mark = BASES[group]
    if not hasattr(own, mark):
        return f"must be a subclass of {base}"
    knobs = section.model_fields.keys() - {"name"}
    if group == "model" and is_dataclass(own):
        return "a cell must be no dataclass; it finds the values of its knobs in self.options"
    if group != "model" and knobs and not is_dataclass(own):
        return "must be a dataclass, as it has knobs"
    if unknown := [key for key in defaults if key not in knobs]:
        what = "Annotated[Tensor, per_replica(...)] or Annotated[int, shared(...)]"
        return f"has no knob {', '.join(unknown)}; a knob is a field annotated as {what}"
    if not own.__module__.startswith("hw2exp.") and (missing := knobs - defaults.keys()):
        return f"needs a default value of {', '.join(sorted(missing))}, as a keyword of its door"
    if not own.__module__.startswith("hw2exp."):
        try:
            section.model_validate({"name": "own", **defaults})
        except ValidationError as error:
            return "; ".join(f"default of {line}" for line in faults(error))
    return None


def register_cell(
    name: str, options: type[groups.Model] | None = None, **defaults: Any
) -> Callable[[C], C]:
    """Register a recurrent cell as ``model=name``.

    Args:
        name: the choice.
        options: the section of the cell's knobs, if the class does not declare them itself.
        defaults: default values of the knobs; ``hidden_size`` is 16 unless given.

    Raises:
        ValueError: the name is taken, or a knob is not shared.
    """
    defaults = {"hidden_size": 16, **defaults}
    if options is not None:
        return register("model", name, options, **defaults)
    return _door("model", groups.Model, name, defaults, data=False)


def register_task(name: str, **defaults: Any) -> Callable[[C], C]:
    """Register a task, a :class:`hw2exp.tasks.task.Task`, as ``task=name``.

    Args:
        name: the choice.
        defaults: default values of the knobs.

    Raises:
        ValueError: the name is taken, or a knob is not shared.
    """

    def enter(own: C) -> C:
        if missing := [each for each in ("symbols", "classes") if not hasattr(own, each)]:
            raise ValueError(f"task={name}: lacks {' and '.join(missing)}")
        entered = _door("task", groups.AnyTask, name, defaults, data=False)(own)
        getattr(own, KNOBS).classes = own.classes
        return entered

    return enter


def register_optimizer(name: str, **defaults: Any) -> Callable[[C], C]:
    """Register an optimizer, a :class:`hw2exp.optim.optimizers.protocol.Optimizer`.

    Args:
        name: the choice, as in ``optimizer=name``.
        defaults: default values of the knobs; ``weight_decay`` is 0 unless given.

    Raises:
        ValueError: the name is taken.
    """
    return _door("optimizer", groups.Optimizer, name, {"weight_decay": 0.0, **defaults})


def register_clip(name: str, **defaults: Any) -> Callable[[C], C]:
    """Register a rule that limits gradients, a :class:`hw2exp.optim.clipping.protocol.Clip`.

    Args:
        name: the choice, as in ``clip=name``.
        defaults: default values of the knobs.

    Raises:
        ValueError: the name is taken.
    """
    return _door("clip", groups.Clip, name, defaults)


def register_norm(name: str, **defaults: Any) -> Callable[[C], C]:
    """Register a normalization, a :class:`hw2exp.models.normalization.protocol.Norm`.

    Args:
        name: the choice, as in ``norm=name``.
        defaults: default values of the knobs.

    Raises:
        ValueError: the name is taken.
    """
    return _door("norm", groups.Norm, name, defaults)


def register_regularizer(name: str, **defaults: Any) -> Callable[[C], C]:
    """Register a term of the loss, a :class:`hw2exp.optim.regularizers.protocol.Regularizer`.

    Args:
        name: the choice, as in ``regularizer=name``.
        defaults: default values of the knobs.

    Raises:
        ValueError: the name is taken.
    """
    return _door("regularizer", groups.Regularizer, name, defaults)


def register_schedule(name: str, **defaults: Any) -> Callable[[C], C]:
    """Register a schedule, a :class:`hw2exp.optim.schedules.protocol.Schedule`.

    Args:
        name: the choice, as in ``schedule=name``.
        defaults: default values of the knobs.

    Raises:
        ValueError: the name is taken.
    """
    return _door("schedule", groups.Schedule, name, defaults)


def register_metric(name: str, **defaults: Any) -> Callable[[C], C]:
    """Register a metric, a :class:`hw2exp.diagnostics.metrics.protocol.Metric`.

    Args:
        name: the choice, as in ``metric=name``.
        defaults: default values of the knobs; ``every`` is 100 unless given.

    Raises:
        ValueError: the name is taken, or a knob is not shared.
    """
    return _door("metric", groups.Metric, name, {"every": 100, **defaults}, data=False)


def register_logger(name: str, **defaults: Any) -> Callable[[C], C]:
    """Register a logger, a subclass of :class:`hw2exp.config.groups.Logger`, as ``logger=name``.

    Args:
        name: the choice.
        defaults: default values of the knobs, which are fields of the class.

    Raises:
        ValueError: the name is taken.
    """
    return register("logger", name, **defaults)
