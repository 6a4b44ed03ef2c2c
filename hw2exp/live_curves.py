"""The curves of a training so far, at the end of a terminal: loss and gradient norm as sparklines.

They begin at the first step that was watched, and are on logarithmic scales, lest one spike flatten
all the rest.
"""

from collections.abc import Sequence

import numpy as np
import torch

from hw2exp.sparkline import ASCII, BLOCKS, MOST_BINS, Peaks, sparkline
from hw2exp.training import Measured

NARROWEST = 8
"""Characters of a curve, at least."""

MOST_WAITING = 1024
"""Steps whose values wait to be looked at, at most."""


class LiveCurves:
    """Keeps the mean loss and gradient norm of a fleet's replicas in few numbers.

    Args:
        most_bins: of each curve.
    """

    def __init__(self, most_bins: int = MOST_BINS) -> None:
        self.losses, self.norms = Peaks(most_bins), Peaks(most_bins)
        self._waiting: list[tuple[torch.Tensor, torch.Tensor]] = []

    def observe(self, measured: Measured) -> None:
        """Take the next step.

        Args:
            measured: what it has measured.
        """
        self._waiting.append((measured.loss, measured.grad_norm_raw))
        if len(self._waiting) == MOST_WAITING:
            self._take()

    def so_far(self) -> tuple[list[float], list[float]]:
        """Loss and gradient norm, each value the largest of as many steps; NaN: not finite."""
        self._take()
        return self.losses.bins, self.norms.bins

    def _take(self) -> None:
        """Bring what waits to the CPU, all at once, and take the mean over replicas."""
        if not self._waiting:
            return
        sizes = np.array([len(loss) for loss, _ in self._waiting])  # replicas may have left
        starts = np.cumsum(sizes) - sizes
        columns = zip(*self._waiting, strict=True)
        for peaks, column in zip((self.losses, self.norms), columns, strict=True):
            values = torch.cat(column).double().cpu().numpy()  # a step's replicas after another's
            peaks.add((np.add.reduceat(values, starts) / sizes).tolist())
        self._waiting.clear()


def curves_line(losses: Sequence[float], norms: Sequence[float], width: int, encoding: str) -> str:
    """Both curves in one line; nothing where it is too narrow for them.

    Args:
        losses: of ``LiveCurves.so_far``.
        norms: likewise.
        width: characters at most.
        encoding: of the terminal, which may lack the blocks.
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
