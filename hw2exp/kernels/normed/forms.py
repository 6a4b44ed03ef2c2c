"""The closed forms of cells with a norm: their kernels, the kernels' weights, and their arrays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import Tensor

from hw2exp.kernels.normed import standardize
from hw2exp.models.axes import Params
from hw2exp.system.kernel_cache import kernel_with

Shapes = Sequence[tuple[int, ...]]
Sizes = Callable[[int, int, int, int], Shapes]
"""A function from T G, G, H and K to the shapes of a form's arrays."""


@dataclass(frozen=True)
class Kind:
    """The kernels of a normalization.

    Args:
        learns: kernel that standardizes in training, with the batch's statistics.
        judges: kernel that standardizes in a test.
        back: backward kernel of ``learns``.
        together: sequences of a batch depend on each other.
        parts: number of standardized parts among queries, keys and values.
    """

    learns: Any
    judges: Any
    back: Any
    together: bool = False
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
        together=True,
    ),
}
"""The kernels, by the norm's name."""


@dataclass(frozen=True)
class NormedForm:
    """A cell's kernels with a norm inside, and the description of their arguments.

    The kernels are as described in :class:`~hw2exp.kernels.forms.ClosedForm`, but for all groups of
    16 sequences, G, at once: arrays have T G instead of T rows. Forward also gets the statistics,
    mean and variance of each term ``(R, T, ·)``, and eps, which is added to the variance. Both get
    a mask ``(G, 16)``, zero in lanes without a sequence, and the count of the sequences.

    Args:
        forward: kernel that computes the states, with ``normalize`` unbound.
        backward: kernel that computes the gradients, with ``normalize_back`` unbound.
        weights: function from the parameters to the kernels' weights, each ``(R, ...)``; autograd
            differentiates it.
        terms: names of the standardized terms, in order.
        kept: shapes ``(·, rows)`` of the arrays that forward keeps for backward.
        scratch: shapes ``(·, rows)`` of backward's other arrays.
        constants: constants of this copy of the kernels, by name.
    """

    forward: Callable[..., None]
    backward: Callable[..., None]
    weights: Callable[[Params], tuple[Tensor, ...]]
    terms: tuple[str, ...]
    kept: Sizes
    scratch: Sizes
    constants: tuple[tuple[str, Any], ...] = ()


FORMS: dict[str, NormedForm] = {}
"""The closed forms by name; each cell's kernel module adds its own."""


@cache
def kernels_of(name: str, kind: str) -> tuple[Any, Any, Any]:
    """Return a cell's kernels with a norm: forward to train, forward to test, backward.

    Args:
        name: name of the form.
        kind: name of the norm.
    """
    form, norm = FORMS[name], KINDS[kind]
    constants = {**dict(form.constants), "PARTS": norm.parts}
    return (
        kernel_with(form.forward, f"{name}_{kind}", normalize=norm.learns, **constants),
        kernel_with(form.forward, f"{name}_{kind}_test", normalize=norm.judges, **constants),
        kernel_with(form.backward, f"{name}_{kind}", normalize_back=norm.back, **constants),
    )
