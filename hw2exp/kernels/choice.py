"""Choose the closed form of a cell with a norm."""

from hw2exp.config.groups import Model
from hw2exp.config.registry import CHOICES, equations
from hw2exp.kernels.forms import form_of
from hw2exp.kernels.loss import SequenceLoss
from hw2exp.kernels.normed.forms import FORMS, KINDS
from hw2exp.kernels.normed.loss import NormedSequenceLoss
from hw2exp.models.cell import Cell
from hw2exp.models.normalization import Norm
from hw2exp.system.members import import_members


def has_closed_form(model: Model, norm: str) -> bool:
    """Return whether a model with a norm has a closed form; a user's cell has none.

    Args:
        model: the ``model`` section of the config.
        norm: the choice of the group ``norm``.
    """
    if norm == "none":
        return form_of(model) is not None
    import_members("hw2exp.kernels.normed")
    return model.compiled in FORMS and norm in KINDS


def closed_form_of(cell: Cell, norm: Norm) -> SequenceLoss | NormedSequenceLoss | None:
    """Build the closed form of a cell with a norm, or return None if there is none.

    Args:
        cell: the cell.
        norm: the normalization inside the cell.
    """
    options, lags = cell.options, getattr(cell.options, "lags", 1)
    kind = next(name for name in CHOICES["norm"] if isinstance(norm, equations("norm", name)))
    if kind == "none":
        form = form_of(options)
        return SequenceLoss(form, cell.hidden_size, cell.input_size, lags) if form else None
    if not has_closed_form(options, kind):
        return None
    return NormedSequenceLoss(
        options.compiled, kind, norm, cell.terms(), cell.hidden_size, cell.input_size, lags
    )
