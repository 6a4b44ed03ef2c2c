"""Define the interface of a regularizer."""

from typing import Any, ClassVar

from hw2exp.config.doors import register_regularizer
from hw2exp.models.axes import Params, StateTrajectory
from hw2exp.system.lazy_torch import Tensor


@register_regularizer("none")
class Regularizer:
    """No regularizer; base class of the terms of the loss besides the cross-entropy.

    A term has a ``value``, which autograd differentiates together with the cross-entropy, or it
    adds its gradient itself. The recorded loss leaves out the term.
    """

    has_value: ClassVar[bool] = False
    """True if the class defines :meth:`value`; the run then trains by autograd."""

    needs_path: ClassVar[bool] = False
    """True if :meth:`add` needs the states and their gradients."""

    def __init_subclass__(cls) -> None:
        """Note whether the term has a value."""
        cls.has_value = cls.value is not Regularizer.value

    def value(self, seen: Any) -> Tensor:
        """Return the term, ``(R,)``.

        Args:
            seen: a forward pass, a :class:`hw2exp.models.passes.Pass`.
        """
        raise NotImplementedError

    def add(self, grads: Params, cell: Any, params: Params, path: StateTrajectory | None) -> Params:
        """Add the term's gradient, which is clipped together with the loss's.

        Args:
            grads: the gradient of the loss and of the value, by parameter name, each ``(R, ...)``.
            cell: the recurrent cell.
            params: the parameters, each ``(R, ...)``.
            path: the states and their gradients, if ``needs_path``.
        """
        return grads
