"""Choose the closed form of a cell with a norm."""

from hw2exp.config.groups import Model
from hw2exp.config.registry import CHOICES, equations
from hw2exp.kernels.forms import form_of
from hw2exp.kernels.loss import SequenceLoss
from hw2exp.kernels.normed.kinds import KINDS
from hw2exp.models.cell import Cell
from hw2exp.models.normalization import Norm
from hw2exp.tasks.temporal_order import CLASSES


def has_closed_form(model: Model, norm: str) -> bool:
    """Return whether a model with a norm has a closed form; a user's cell has none.

    Args:
        model: the ``model`` section of the config.
        norm: the choice of the group ``norm``.
    """
    return norm in ("none", *KINDS) and form_of(model, norm) is not None


def closed_form_of(cell: Cell, norm: Norm, classes: int = len(CLASSES)) -> SequenceLoss | None:
    """Build the closed form of a cell with a norm, or return None if there is none.

    Args:
        cell: the cell.
        norm: the normalization inside the cell.
        classes: the number of classes, C.
    """
    kind = next(name for name in CHOICES["norm"] if type(norm) is equations("norm", name))
    able = has_closed_form(cell.options, kind)
    return SequenceLoss(cell, kind, norm, classes) if able else None
