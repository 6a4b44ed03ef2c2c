"""What a knob is: a typed value with a range, a meaning, and a side: shape or data."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo


def shared(meaning: str, **limits: Any) -> Any:
    """A knob that fixes the program's shape, so that all replicas of a fleet share its value.

    Args:
        meaning: one line for people.
        limits: pydantic's constraints (``gt``, ``ge``, ``lt``, ``le``).
    """
    return Field(description=meaning, json_schema_extra={"per_replica": False}, **limits)


def per_replica(meaning: str, **limits: Any) -> Any:
    """A knob that is data: each replica of a fleet has its own value, in a tensor ``(R,)``.

    Args:
        meaning: one line for people.
        limits: pydantic's constraints (``gt``, ``ge``, ``lt``, ``le``).
    """
    return Field(description=meaning, json_schema_extra={"per_replica": True}, **limits)


def is_per_replica(field: FieldInfo) -> bool:
    """Whether the knob is data (one value a replica) and not shape."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("per_replica"))


class Section(BaseModel):
    """A frozen group of knobs: nothing unknown, nothing converted (a text is no number)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Choice(Section):
    """A section that stands for one choice of a Hydra group."""

    name: str = shared("which choice of the group this is")
