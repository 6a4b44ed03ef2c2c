"""Define the interface of gradient clipping."""

from typing import Any, ClassVar

from hw2exp.config.doors import register_clip
from hw2exp.models.axes import Params, State
from hw2exp.optim.clipping.eps import EPS
from hw2exp.system.lazy_torch import Tensor

Scores = dict[tuple[str, str], Tensor]
"""A number ``(R,)`` for each head, by the names of its query's and its key's matrix."""


class Clip:
    """A rule that limits gradients before the optimizer uses them; base class of the rules.

    A rule gets gradients and parameters by name, each ``(R, ...)``; with ``rows``, it gets them as
    one tensor ``(R, P)`` that joins them.
    """

    rows: ClassVar[bool] = False

    needs_scores: ClassVar[bool] = False
    """True if :meth:`finish` changes parameters after the update, by the scores of an attention."""

    def init(self, params: Any) -> State:
        """Return the state before the first step: tensors ``(R, ...)`` by any names.

        Args:
            params: the parameters, rows or by name.
        """
        return {}

    def update(self, grads: Any, params: Any, grad_norm: Tensor, state: State) -> tuple[Any, State]:
        """Limit the gradients of a step.

        Args:
            grads: the gradients, rows or by name.
            params: the parameters, likewise.
            grad_norm: norm of each replica's whole gradient, ``(R,)`` in float64.
            state: state from ``init`` or the step before.

        Returns:
            The limited gradients, rows or by name, and the new state.
        """
        raise NotImplementedError

    def finish(self, params: Params, scores: Scores) -> Params:
        """Change the parameters after the optimizer's update.

        Args:
            params: the updated parameters by name, also with ``rows``, each ``(R, ...)``.
            scores: the largest score of each head in the step's forward pass, before the update.
        """
        return params


@register_clip("none")
class NoClip(Clip):
    """No clipping."""

    rows = True

    def update(
        self, grads: Tensor, params: Tensor, grad_norm: Tensor, state: State
    ) -> tuple[Tensor, State]:
        """Return the gradients unchanged."""
        return grads, state


def rescale(grads: Tensor, grad_norm: Tensor, limit: Tensor) -> Tensor:
    """Scale a tensor of each replica down to a norm, never up.

    Args:
        grads: gradients, ``(R, ...)``.
        grad_norm: norm of each replica's gradients, ``(R,)`` in float64.
        limit: the largest norm, ``(R,)``.
    """
    return scale_down(grads, limit / (grad_norm + EPS))


def scale_down(grads: Tensor, factor: Tensor) -> Tensor:
    """Multiply gradients by factors, of which none counts as more than 1.

    Args:
        grads: gradients, ``(R, ...)``.
        factor: a factor for each entry along the first axes, ``(R,)`` or more, in float64.
    """
    # In float64, rounded once, because the factor for a gradient of 1e38 underflows in float32.
    factor = factor.clamp(max=1)
    return (grads * factor.reshape(*factor.shape, *[1] * (grads.dim() - factor.dim()))).to(
        grads.dtype
    )
