"""Define knobs: typed values with a range and a meaning, either shape or data."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo


def shared(meaning: str, **limits: Any) -> Any:
    """Define a knob of the program's shape: all replicas of a fleet share its value.

    Args:
        meaning: a line for the help.
        limits: pydantic's constraints (``gt``, ``ge``, ``lt``, ``le``).
    """
    return Field(description=meaning, json_schema_extra={"per_replica": False}, **limits)


def per_replica(meaning: str, **limits: Any) -> Any:
    """Define a knob of data: each replica of a fleet has its own value, in a tensor ``(R,)``.

    Args:
        meaning: a line for the help.
        limits: pydantic's constraints (``gt``, ``ge``, ``lt``, ``le``).
    """
    return Field(description=meaning, json_schema_extra={"per_replica": True}, **limits)


def is_per_replica(field: FieldInfo) -> bool:
    """Return whether a knob is data (one value a replica), not shape."""
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


def shape_key(section: Section) -> dict[str, Any]:
    """Return the knobs that fix the program's shape: all that the schema calls shared.

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
