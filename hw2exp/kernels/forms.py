"""The closed forms of cells: their kernels, the kernels' weights, and the arrays that they need."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hw2exp.models.axes import Params, Shape
from hw2exp.system.members import import_members

Shapes = list[Shape]
Sizes = Callable[[int, int, int, int], Shapes]
"""A function from T, I, H and K to the shapes of a form's arrays."""


@dataclass(frozen=True)
class ClosedForm:
    """A cell's kernels, and the description of their arguments.

    Both kernels get x, the inputs ``(T, I, 16)``; the weights; r, the index of the replica; h, the
    states ``(T+1, H, 16)``, zeros at index 0 and state t at index t + 1; and the kept arrays.
    Backward also gets delta, ∂ℓ/∂h[t] ``(T+1, H, 16)``, of which the last entry is input and the
    others are output; the gradients of the weights, to which it adds; and the scratch arrays.

    Args:
        forward: kernel that computes the states of 16 sequences.
        backward: kernel that computes ∂ℓ/∂h[t] for all t, and adds to the weights' gradients.
        weights: function from the cell's parameters to the kernels' weights, each ``(R, ·, ·)``;
            autograd differentiates it.
        kept: shapes ``(T, rows)`` of the arrays that forward keeps for backward; at least one.
        scratch: shapes ``(·, rows)`` of backward's other arrays; at least one.
        ones: append a one to the input as its last row, so that the bias is a column of the
            weights.
    """

    forward: Callable[..., None]
    backward: Callable[..., None]
    weights: Callable[[Params], tuple[Tensor, ...]]
    kept: Sizes
    scratch: Sizes
    ones: bool = False


FORMS: dict[str, ClosedForm] = {}
"""The closed forms by name; each cell's kernel module adds its own."""


def form_of(options: Any) -> ClosedForm | None:
    """Return the closed form of a model; None for a user's cell.

    Args:
        options: the ``model`` section of the config.
    """
    import_members("hw2exp.kernels")
    return FORMS.get(options.compiled)
