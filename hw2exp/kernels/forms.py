"""The closed forms of cells: their kernels, and the arrays that these need."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hw2exp.models.axes import Shape
from hw2exp.system.members import import_members

Sizes = Callable[[int, int, int, int, int], Sequence[Shape]]
"""A function from N, G, I, H and K to the shapes of a form's arrays.

G is the number of groups of 16 sequences that a kernel computes at once: 1, except where batch
normalization uses the statistics of the batch. N = T G is the number of rows of an array with a row
for each time step and group.
"""


@dataclass(frozen=True)
class ClosedForm:
    """A cell's kernels, and the description of their arguments.

    Both kernels get x, the inputs ``(N, I, 16)``; the weights; r, the index of the replica; h, the
    states ``(N+G, H, 16)``: G zeros, then state t of group g at index (t+1) G + g; and the kept
    arrays. Backward also gets delta, ∂ℓ/∂h[t] ``(N+G, H, 16)``, of which the last G entries are
    input and the others are output; the gradients of the weights, to which it adds; and the scratch
    arrays.

    With a norm, forward also gets the statistics, mean and variance of each term ``(R, T, ·)``, and
    eps, which is added to the variance. Both get a mask ``(G, 16)``, zero in lanes without a
    sequence, and the count of the sequences.

    Args:
        forward: kernel that computes the states of 16 sequences; with a norm, of all groups, with
            ``normalize`` unbound.
        backward: kernel that computes ∂ℓ/∂h[t] for all t, and adds to the weights' gradients; with
            a norm, with ``normalize_back`` unbound.
        pack: kernel that computes the weights from the row of a replica's parameters, without those
            of the readout; see :mod:`hw2exp.kernels.packing`.
        unpack: kernel of its gradient, from the weights' gradients to that of the row.
        weights: shapes of the weights of one replica, each ``(·, ·)``.
        kept: shapes ``(·, rows)`` of the arrays that forward keeps for backward; at least one.
        scratch: shapes ``(·, rows)`` of backward's other arrays; at least one.
        ones: append a one to the input as its last row, so that the bias is a column of the
            weights.
        terms: names of the standardized terms, in order.
        constants: constants of this copy of the kernels, by name, with a norm.
    """

    forward: Callable[..., None]
    backward: Callable[..., None]
    pack: Callable[..., None]
    unpack: Callable[..., None]
    weights: Sizes
    kept: Sizes
    scratch: Sizes
    ones: bool = False
    terms: tuple[str, ...] = ()
    constants: tuple[tuple[str, Any], ...] = ()


FORMS: dict[str, ClosedForm] = {}
"""The closed forms without a norm by name; each cell's kernel module adds its own."""

NORMED: dict[str, ClosedForm] = {}
"""The closed forms with a norm, likewise."""


def pass_name(options: Any, norm: str) -> str:
    """Return the end of the names of a model's compiled passes.

    Args:
        options: the ``model`` section of the config.
        norm: the choice of the group ``norm``.
    """
    return f"{options.compiled}_{norm}"


def form_of(options: Any, norm: str = "none") -> ClosedForm | None:
    """Return the closed form of a model; None for a user's cell.

    Args:
        options: the ``model`` section of the config.
        norm: the choice of the group ``norm``.
    """
    if norm == "none":
        import_members("hw2exp.kernels")
        return FORMS.get(options.compiled)
    import_members("hw2exp.kernels.normed")
    return NORMED.get(options.compiled)
