"""Recurrent models: the protocol, one file a cell, and the classifier around a cell."""

from collections.abc import Callable
from typing import Any, TypeVar

from hw2exp.config.choices import ADDED_CHOICES, CHOICES
from hw2exp.config.groups import Model
from hw2exp.models.attn_rnn import AttnRNN
from hw2exp.models.attn_rnn_inf import AttnRNNInf
from hw2exp.models.cell import Cell
from hw2exp.models.gated_rnn import GatedRNN
from hw2exp.models.lstm import LSTM
from hw2exp.models.own_code import code_digest
from hw2exp.models.rnn import ElmanRNN

C = TypeVar("C", bound=type[Cell])

CELLS: dict[str, type[Cell]] = {
    "gated_rnn": GatedRNN,
    "attn_rnn": AttnRNN,
    "attn_rnn_inf": AttnRNNInf,
    "rnn": ElmanRNN,
    "lstm": LSTM,
}
"""The cells by the name of their choice in the group ``model``."""


def own_digest(name: str) -> str | None:
    """Return the digest of the code of a user's cell; None for a shipped cell.

    Args:
        name: the choice of the group ``model``.
    """
    return code_digest(CELLS[name]) if ("model", name) in ADDED_CHOICES else None


def register_cell(name: str, options: type[Model] = Model, **defaults: Any) -> Callable[[C], C]:
    """Register your own cell as a choice of the group ``model``.

    Args:
        name: the choice, as in ``model=name``.
        options: the config class of the cell's knobs; ``Model`` for a cell without its own knobs.
        defaults: default values of the knobs; ``hidden_size`` is 16 unless given.

    Raises:
        ValueError: the name is taken.
    """
    if name in CELLS:
        raise ValueError(f"model={name} exists already: {CELLS[name].__name__}")

    def register(cell: C) -> C:
        CELLS[name] = cell
        CHOICES["model"][name] = options
        ADDED_CHOICES["model", name] = {"name": name, "hidden_size": 16, **defaults}
        return cell

    return register
