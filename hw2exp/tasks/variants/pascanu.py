"""Temporal order as in the public code of Pascanu, Mikolov & Bengio 2013."""

from typing import ClassVar

from hw2exp.config.groups import AnyOrder, Range
from hw2exp.config.knob import shared
from hw2exp.config.registry import register
from hw2exp.tasks.temporal_order import TemporalOrder


class Pascanu(AnyOrder):
    """A task without a frame, whose ranges follow from one length."""

    framed: ClassVar[bool] = False

    symbols: int = shared("length of a sequence, which has no B and no E, L", ge=10, le=10_000)

    @property
    def ranges(self) -> tuple[Range, Range, Range]:
        """Return the ranges: marks at ⌊L/10⌋ and ⌊L/2⌋, or up to ⌊L/10⌋ - 1 places later."""
        return ranges_of(self.symbols)


def ranges_of(symbols: int) -> tuple[Range, Range, Range]:
    """Return the ranges of the length and of both marks for sequences of L symbols."""
    L, tenth = symbols, symbols // 10
    return (L, L + 1), (tenth, 2 * tenth), (L // 2, L // 2 + tenth)


@register("task", "torder", Pascanu)
class UnframedOrder(TemporalOrder):
    """Temporal order without a frame, of L symbols."""

    def __init__(self, symbols: int) -> None:
        super().__init__(*ranges_of(symbols), framed=False)
