"""The kinds of normalization: the kernels that standardize a term."""

from dataclasses import dataclass
from typing import Any

from hw2exp.kernels.forms import ClosedForm
from hw2exp.kernels.normed import standardize
from hw2exp.system.kernel_cache import kernel_with


@dataclass(frozen=True)
class Kind:
    """The kernels of a normalization.

    Args:
        learns: kernel that standardizes in training, with the batch's statistics.
        judges: kernel that standardizes in a test.
        back: backward kernel of ``learns``.
        parts: number of standardized parts among queries, keys and values.
    """

    learns: Any
    judges: Any
    back: Any
    parts: int = 3


KINDS = {
    "layer": Kind(standardize.by_features, standardize.by_features, standardize.by_features_back),
    "qk": Kind(
        standardize.by_features, standardize.by_features, standardize.by_features_back, parts=2
    ),
    "batch": Kind(
        standardize.by_sequences,
        standardize.by_given_statistics,
        standardize.by_sequences_back,
    ),
}
"""The kernels, by the norm's name."""


def kernels_with(form: ClosedForm, name: str, kind: Kind) -> tuple[Any, Any, Any]:
    """Return a cell's kernels with a norm: forward to train, forward to test, backward.

    Args:
        form: the cell's form.
        name: suffix of the kernels' names.
        kind: the norm.
    """
    constants = {**dict(form.constants), "PARTS": kind.parts}
    return (
        kernel_with(form.forward, name, normalize=kind.learns, **constants),
        kernel_with(form.forward, f"{name}_test", normalize=kind.judges, **constants),
        kernel_with(form.backward, name, normalize_back=kind.back, **constants),
    )
