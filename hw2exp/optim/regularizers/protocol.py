"""The interface of a regularizer."""

from typing import Any, Protocol

from hw2exp.config import groups
from hw2exp.config.registry import register
from hw2exp.models.axes import Params, StateTrajectory


class Regularizer(Protocol):
    """A term of the loss, whose gradient is added before clipping."""

    needs_path: bool
    """True if the term needs the states and their gradients."""

    def add(self, grads: Params, cell: Any, params: Params, path: StateTrajectory | None) -> Params:
        """Add the term's gradient.

        Args:
            grads: the loss's gradient by parameter name, each ``(R, ...)``.
            cell: the recurrent cell.
            params: the parameters, each ``(R, ...)``.
            path: the states and their gradients, if ``needs_path``.
        """


@register("regularizer", "none", groups.Regularizer)
class NoRegularizer:
    """No regularizer."""

    needs_path = False

    def add(self, grads: Params, cell: Any, params: Params, path: StateTrajectory | None) -> Params:
        """Return the gradients unchanged."""
        return grads
