"""Stack the knobs of R configs: knobs that may differ in a fleet become ``(R,)`` tensors."""

from collections.abc import Sequence
from typing import Any

import torch

from hw2exp.config.knob import Section, is_per_replica


def stack(sections: Sequence[Section], device: torch.device | str = "cpu") -> dict[str, Any]:
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
