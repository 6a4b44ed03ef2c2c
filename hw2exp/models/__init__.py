"""Recurrent models: the protocol, the cells, and the classifier around a cell."""

from collections.abc import Callable
from typing import Any, TypeVar

from hw2exp.config.groups import Model
from hw2exp.config.registry import ADDED_CHOICES, equations, register
from hw2exp.models.cell import Cell
from hw2exp.models.own_code import code_digest

C = TypeVar("C", bound=type[Cell])


def own_digest(name: str) -> str | None:
    """Return the digest of the code of the user's cell ``model=name``; None for a shipped cell."""
    if ("model", name) not in ADDED_CHOICES:
        return None
    own: type[Cell] = equations("model", name)
    return code_digest(own)


def register_cell(name: str, options: type[Model] = Model, **defaults: Any) -> Callable[[C], C]:
    """Register your own cell as a choice of the group ``model``.

    Args:
        name: the choice, as in ``model=name``.
        options: the config class of the cell's knobs; ``Model`` for a cell without its own knobs.
        defaults: default values of the knobs; ``hidden_size`` is 16 unless given.

    Raises:
        ValueError: the name is taken.
    """
    return register("model", name, options, **{"hidden_size": 16, **defaults})
