"""Choose the closed form of a cell with a norm."""

from hw2exp.kernels.forms import form_of, name_of
from hw2exp.kernels.loss import SequenceLoss
from hw2exp.kernels.normed.forms import FORMS
from hw2exp.kernels.normed.loss import NormedSequenceLoss
from hw2exp.models.cell import Cell
from hw2exp.models.normalization import NORMS, NoNorm, Norm


def closed_form_of(cell: Cell, norm: Norm) -> SequenceLoss | NormedSequenceLoss | None:
    """Build the closed form of a cell with a norm, or return None if there is none.

    Args:
        cell: the cell.
        norm: the normalization inside the cell.
    """
    lags = getattr(cell.options, "lags", 1)
    if isinstance(norm, NoNorm):
        if (form := form_of(cell.options)) is None:
            return None
        return SequenceLoss(form, cell.hidden_size, cell.input_size, lags)
    name = name_of(cell.options)
    kind = next(kind for kind, own in NORMS.items() if isinstance(norm, own))
    if name not in FORMS:
        return None
    return NormedSequenceLoss(
        name, kind, norm, cell.terms(), cell.hidden_size, cell.input_size, lags
    )
