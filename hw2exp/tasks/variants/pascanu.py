"""Temporal order as in the public code of Pascanu, Mikolov & Bengio 2013."""

from typing import ClassVar

from hw2exp.config.groups import AnyOrder, Range
from hw2exp.config.knob import shared
from hw2exp.config.registry import register


@register("task", "torder")
class Pascanu(AnyOrder):
    """A task without a frame, whose ranges follow from one length."""

    framed: ClassVar[bool] = False

    symbols: int = shared("length of a sequence, which has no B and no E, L", ge=10, le=10_000)

    @property
    def ranges(self) -> tuple[Range, Range, Range]:
        """Return the ranges: marks at ⌊L/10⌋ and ⌊L/2⌋, or up to ⌊L/10⌋ - 1 places later."""
        L, tenth = self.symbols, self.symbols // 10
        return (L, L + 1), (tenth, 2 * tenth), (L // 2, L // 2 + tenth)
