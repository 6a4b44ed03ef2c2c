"""Draw heat maps as pixels for TensorBoard: a figure would take a hundred times as long."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

LEAST = 320, 120
"""Least width and height of an image: smaller images are scaled up by whole factors."""

VIRIDIS = np.array(
    [
        (68, 1, 84),
        (71, 45, 123),
        (59, 82, 139),
        (44, 114, 142),
        (33, 145, 140),
        (40, 174, 128),
        (94, 201, 98),
        (173, 220, 48),
        (253, 231, 37),
    ],
    dtype=np.float64,
)
"""Nine colors of matplotlib's colormap; importing matplotlib would take longer than a short run."""

GRAY = 128

MOST = 1000
"""Most columns of an image, for a run of any length."""


def heat_map(columns: Sequence[Sequence[float]], logarithmic: bool) -> Pixels:
    """Draw values from dark to bright: a column for each list, with its first value at the top.

    Args:
        columns: lists of equal length; more than ``MOST`` are merged with their neighbors, by the
            maximum.
        logarithmic: whether the logarithm sets the color; non-finite values are gray.

    Returns:
        ``(height, width, 3)``.
    """
    values = _thinned(np.array(columns, dtype=np.float64)).T  # (length, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        shown = np.log(values) if logarithmic else values
    known = np.isfinite(shown)
    low, high = (shown[known].min(), shown[known].max()) if known.any() else (0.0, 1.0)
    level = (np.where(known, shown, low) - low) / max(high - low, 1e-12)
    places = np.linspace(0, 1, len(VIRIDIS))
    colors = np.stack([np.interp(level, places, channel) for channel in VIRIDIS.T], axis=-1)
    colors = colors.round().astype(np.uint8)
    colors[~known] = GRAY
    height, width = values.shape
    by_row, by_column = (
        -(-least // size) for least, size in zip(LEAST[::-1], (height, width), strict=True)
    )
    return colors.repeat(by_row, 0).repeat(by_column, 1)


def _thinned(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Merge columns to ``MOST`` or fewer, each the largest values of as many neighbors."""
    each = -(-len(columns) // MOST)
    return np.fmax.reduceat(columns, np.arange(0, len(columns), each)) if each > 1 else columns
