"""Adapt clips and optimizers that get parameters by name to a fleet, which keeps them in rows."""

from dataclasses import dataclass
from typing import Any

from hw2exp.models.axes import Layout, State
from hw2exp.system.lazy_torch import Tensor


def in_rows(own: Any, layout: Layout) -> Any:
    """Return a clip or an optimizer on rows ``(R, P)``.

    Args:
        own: the clip or the optimizer.
        layout: the layout of the rows.
    """
    return own if own.rows else InRows(own, layout)


@dataclass(frozen=True)
class InRows:
    """A clip or an optimizer that gets parameters by name, with the interface of rows.

    Args:
        own: the clip or the optimizer; this object has its other attributes, too.
        layout: the layout of the rows.
    """

    own: Any
    layout: Layout

    def __getattr__(self, name: str) -> Any:
        if name == "own":  # not there yet, in a copy that is being made
            raise AttributeError(name)
        return getattr(self.own, name)

    def init(self, params: Tensor) -> State:
        """Return the state before the first update."""
        state: State = self.own.init(self.layout.unflatten(params))
        return state

    def update(self, changed: Tensor, other: Tensor, *more: Any) -> tuple[Tensor, State]:
        """Change gradients or parameters, in rows; see the methods of both interfaces."""
        by_name, state = self.own.update(
            self.layout.unflatten(changed), self.layout.unflatten(other), *more
        )
        # Knobs are in float64, so that a rule may return a wider dtype than the parameters'.
        return self.layout.rows(by_name).to(changed.dtype), state

    def preconditioner(self, state: State) -> Tensor | None:
        """Return the divisor of the gradient in rows, if there is one."""
        divisor = self.own.preconditioner(state)
        return self.layout.rows(divisor) if isinstance(divisor, dict) else divisor
