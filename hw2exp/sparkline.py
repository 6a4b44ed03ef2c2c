"""A series as a line of blocks, and a memory of a series that stays small."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

BLOCKS, ASCII = "▁▂▃▄▅▆▇█×", "_.:-=+*#x"
"""Marks from the lowest to the highest value; the last stands for what is not finite."""

MOST_BINS = 512


def sparkline(values: ArrayLike, width: int, log: bool = False, marks: str = BLOCKS) -> str:
    """Draw a series in one line.

    Where there are more values than characters, a character shows the largest of its values, or
    that one of them is not finite: no spike is lost.

    Args:
        values: in order, ``(n,)``.
        width: characters at most.
        log: on a logarithmic scale; what is not positive stands as low as the least that is.
        marks: what to draw with, see ``BLOCKS``.
    """
    series = np.asarray(values, float)
    bins = min(len(series), width)
    if bins < 1:
        return ""
    known = np.where(np.isfinite(series), series, np.nan)
    heights = np.maximum.reduceat(known, np.arange(bins) * len(series) // bins)  # keeps NaN
    if log:
        least = heights[heights > 0].min(initial=math.inf)
        heights = np.log(np.maximum(heights, least)) if least < math.inf else 0 * heights
    top = len(marks) - 2
    finite = heights[~np.isnan(heights)]
    scale = np.abs(finite).max(initial=0) or 1.0  # lest a difference overflows
    low, high = finite.min(initial=math.inf) / scale, finite.max(initial=-math.inf) / scale
    shares = (heights / scale - low) / (high - low) if low < high else 0 * heights
    return "".join(marks[-1] if np.isnan(s) else marks[round(top * s)] for s in shares)


class Peaks:
    """A series of any length in few bins, each the largest of as many values.

    When all bins are taken, each takes in its neighbor. What is not finite is kept as NaN.

    Args:
        most_bins: how many, an even number.
    """

    def __init__(self, most_bins: int = MOST_BINS) -> None:
        self.most_bins = most_bins
        self.bins: list[float] = []
        self._size, self._room = 1, 0  # values in a bin; those that the last has room for

    def add(self, values: Iterable[float]) -> None:
        """Take the next values.

        Args:
            values: in order.
        """
        for value in values:
            known = value if math.isfinite(value) else math.nan
            if self._room:
                self.bins[-1] = _larger(self.bins[-1], known)
                self._room -= 1
                continue
            if len(self.bins) == self.most_bins:
                self.bins = [
                    _larger(*pair) for pair in zip(self.bins[::2], self.bins[1::2], strict=True)
                ]
                self._size *= 2
            self.bins.append(known)
            self._room = self._size - 1


def _larger(one: float, other: float) -> float:
    return one if one >= other or math.isnan(one) else other
