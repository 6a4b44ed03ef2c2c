"""Define knobs: typed values with a range and a meaning, either shape or data."""

from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

KNOBS = "Knobs"
"""The attribute of a class of equations that holds the section of its knobs."""


def shared(meaning: str, **limits: Any) -> Any:
    """Define a knob of the program's shape: all replicas of a fleet share its value.

    Args:
        meaning: a line for the help.
        limits: pydantic's constraints (``gt``, ``ge``, ``lt``, ``le``).
    """
    return Field(description=meaning, json_schema_extra={"per_replica": False}, **limits)


def per_replica(meaning: str, kind: type[float] = float, **limits: Any) -> Any:
    """Define a knob of data: each replica of a fleet has its own value, in a tensor ``(R,)``.

    Args:
        meaning: a line for the help.
        kind: ``float`` or ``int``, the type of a value if the annotation is that of a tensor.
        limits: pydantic's constraints (``gt``, ``ge``, ``lt``, ``le``).
    """
    field = Field(description=meaning, json_schema_extra={"per_replica": True}, **limits)
    field.annotation = kind
    return field


def is_per_replica(field: FieldInfo) -> bool:
    """Return whether a knob is data (one value for each replica), not shape."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("per_replica"))


class Section(BaseModel):
    """A frozen group of knobs, without unknown keys or conversion (a text is no number)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def contradictions(self, config: Any) -> list[str]:
        """Return the problems between these knobs and those of other sections, one line each.

        Args:
            config: the whole config, a ``TrainConfig`` of which each knob is valid by itself.
        """
        return []


class Choice(Section):
    """A section that stands for one choice of a Hydra group."""

    name: str = shared("which choice of the group this is")


def section_of(own: type[Any], base: type[Choice]) -> type[Choice]:
    """Make the section of the knobs that a class of equations declares.

    A knob is an annotated field: ``Annotated[Tensor, per_replica(...)]`` for a tensor ``(R,)``, or
    for example ``Annotated[bool, shared(...)]``. A static method ``contradictions(knobs, config)``
    of the class becomes the section's method.

    Args:
        own: the class of equations.
        base: the section of its group.
    """
    knobs: dict[str, Any] = {}
    for name, hint in get_type_hints(own, include_extras=True).items():
        kind, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        for field in (mark for mark in marks if isinstance(mark, FieldInfo)):
            others = [mark for mark in marks if mark is not field]  # such as a validator
            kind = field.annotation if is_per_replica(field) else kind
            knobs[name] = (Annotated[kind, *others] if others else kind, field)
    section = create_model(KNOBS, __base__=base, __module__=own.__module__, **knobs)
    section.__qualname__ = f"{own.__qualname__}.{KNOBS}"  # where pickle looks for it
    if rule := getattr(own, "contradictions", None):
        section.contradictions = rule  # type: ignore[method-assign]
    return section


def shape_key(section: Section) -> dict[str, Any]:
    """Return the knobs that fix the program's shape: all shared ones, nested by section.

    Args:
        section: a whole config, or a part of a config.
    """
    key = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            key[name] = shape_key(value)
        elif not is_per_replica(field):
            key[name] = value
    return key
