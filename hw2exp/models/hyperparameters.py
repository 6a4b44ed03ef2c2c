"""Build a fleet's part from R configs: knobs that may differ become ``(R,)`` tensors."""

from collections.abc import Sequence
from typing import Any

from hw2exp.config.knob import Choice, Section, is_per_replica
from hw2exp.config.registry import equations
from hw2exp.system.lazy_torch import Device, torch


def build(group: str, sections: Sequence[Choice], device: Device = "cpu", **others: Any) -> Any:
    """Build a choice's equations for a fleet.

    Args:
        group: the group, such as ``clip``.
        sections: the group's section of each replica, length R.
        device: the device of the tensors.
        others: arguments besides the knobs.

    Raises:
        ValueError: replicas differ in a shared knob.
    """
    return equations(group, sections[0].name)(**others, **stack(sections, device))


def stack(sections: Sequence[Section], device: Device = "cpu") -> dict[str, Any]:
    """Stack the same section of R configs into the arguments of one batched object.

    Args:
        sections: the section of each replica, length R; all of one class.
        device: the device of the tensors.

    Returns:
        By knob name: for a per-replica knob a float64 tensor ``(R,)`` (int64 for integer knobs),
        for a shared knob the common value. ``name`` and nested sections are left out.

    Raises:
        ValueError: replicas differ in a shared knob.
    """
    first = sections[0]
    stacked: dict[str, Any] = {}
    for name, field in type(first).model_fields.items():
        values = [getattr(section, name) for section in sections]
        if is_per_replica(field):
            dtype = torch.int64 if field.annotation is int else torch.float64
            stacked[name] = torch.tensor(values, dtype=dtype, device=device)  # (R,)
        elif any(value != values[0] for value in values):
            raise ValueError(f"{name} is shared in a fleet, but replicas differ in it: {values}")
        elif name != "name" and not isinstance(values[0], Section):
            stacked[name] = values[0]
    return stacked
