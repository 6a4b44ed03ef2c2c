"""Draw a series as a line of blocks, and summarize a long series in few bins."""

import math

import numpy as np
from numpy.typing import ArrayLike

BLOCKS, ASCII = "▁▂▃▄▅▆▇█×", "_.:-=+*#x"
"""Marks from the lowest to the highest value; the last mark is for values that are not finite."""

MOST_BINS = 512


def sparkline(values: ArrayLike, width: int, log: bool = False, marks: str = BLOCKS) -> str:
    """Draw a series in one line.

    With more values than characters, each character shows the largest of its values, or that one
    of them is not finite: no spike is lost.

    Args:
        values: the series, ``(n,)``.
        width: the most characters.
        log: whether the scale is logarithmic; values <= 0 are drawn as the smallest positive one.
        marks: the marks, in the order of ``BLOCKS``.
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
    scale = np.abs(finite).max(initial=0) or 1.0  # so that no difference overflows
    low, high = finite.min(initial=math.inf) / scale, finite.max(initial=-math.inf) / scale
    shares = (heights / scale - low) / (high - low) if low < high else 0 * heights
    return "".join(marks[-1] if np.isnan(s) else marks[round(top * s)] for s in shares)


class Peaks:
    """A series of any length in few bins, each the maximum of equally many values.

    When all bins are full, neighbors are merged in pairs. A value that is not finite makes its bin
    NaN.

    Args:
        most_bins: the largest number of bins, which is even.
    """

    def __init__(self, most_bins: int = MOST_BINS) -> None:
        self.most_bins = most_bins
        self.bins: list[float] = []
        self._size, self._room = 1, 0  # values a bin; free places in the last bin

    def add(self, values: ArrayLike) -> None:
        """Append values.

        Args:
            values: the next values of the series, in order, ``(n,)``.
        """
        series = np.asarray(values, float)
        series = np.where(np.isfinite(series), series, np.nan)
        while len(series):
            if not self._room and len(self.bins) == self.most_bins:
                self.bins = np.reshape(self.bins, (-1, 2)).max(1).tolist()  # keeps NaN
                self._size *= 2
            free = self._room + self._size * (self.most_bins - len(self.bins))
            part, series = series[:free], series[free:]
            starts = [0] * (self._room > 0) + [*range(self._room, len(part), self._size)]
            peaks = np.maximum.reduceat(part, starts).tolist()
            if self._room:
                self.bins[-1] = float(np.maximum(self.bins[-1], peaks.pop(0)))
            self.bins += peaks
            self._room = (self._room - len(part)) % self._size
