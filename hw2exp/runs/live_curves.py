"""Draw the live curves of a run in a terminal: loss and gradient norm as sparklines.

The curves begin at the first observed step. Their scales are logarithmic, so that one spike does
not flatten the rest.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hw2exp.fleet.measurements import StepMetrics
from hw2exp.runs.sparkline import ASCII, BLOCKS, MOST_BINS, Peaks, sparkline

NARROWEST = 8
"""Smallest width of a curve in characters."""

MOST_WAITING = 1024
"""Most blocks of steps to buffer before they are drawn."""


class LiveCurves:
    """A short history of the loss and the gradient norm, each a mean over a fleet's replicas.

    Args:
        most_bins: the most bins of each curve.
    """

    def __init__(self, most_bins: int = MOST_BINS) -> None:
        self.losses, self.norms = Peaks(most_bins), Peaks(most_bins)
        self._waiting: list[tuple[Tensor, Tensor]] = []  # each (n, R)

    def observe(self, metrics: StepMetrics) -> None:
        """Add a block of steps.

        Args:
            metrics: the measurements of the steps, ``(n, R)``.
        """
        self._waiting.append((metrics.loss, metrics.grad_norm_raw))
        if len(self._waiting) == MOST_WAITING:
            self._take()

    def so_far(self) -> tuple[list[float], list[float]]:
        """Return the bins of loss and gradient norm: maxima over equally many steps, or NaN."""
        self._take()
        return self.losses.bins, self.norms.bins

    def _take(self) -> None:
        """Move the buffered values to the CPU, and average over replicas."""
        if self._waiting:
            columns = zip(*self._waiting, strict=True)
            for peaks, column in zip((self.losses, self.norms), columns, strict=True):
                peaks.add(torch.cat([each.double().mean(1) for each in column]).cpu().numpy())
            self._waiting.clear()


def curves_line(losses: Sequence[float], norms: Sequence[float], width: int, encoding: str) -> str:
    """Return both curves in one line, or an empty string if the line is too narrow.

    Args:
        losses: bins of the loss, from ``LiveCurves.so_far``.
        norms: bins of the gradient norm, likewise.
        width: the most characters.
        encoding: the terminal's encoding; ASCII marks are used if it lacks the block characters.
    """
    loss, norm = "loss ", "  |grad| "
    each = (width - len(loss + norm)) // 2
    if each < NARROWEST:
        return ""
    marks = BLOCKS if _has(encoding, BLOCKS) else ASCII
    drawn = [sparkline(values, each, log=True, marks=marks) for values in (losses, norms)]
    return f"{loss}{drawn[0]}{norm}{drawn[1]}"


def _has(encoding: str, letters: str) -> bool:
    try:
        letters.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
